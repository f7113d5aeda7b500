"""How far a long publish is, on stderr where that is a terminal."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from slipstream.cli.publish.send import Tally

_REFRESH_SECONDS: Final = 0.1


@contextlib.asynccontextmanager
async def show_progress(tally: "Tally", size: int | None) -> AsyncIterator[None]:
    """Show the tally while the block runs. size: of the file in bytes, None when unknown. Silent without a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - heavy

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[stored]:,} stored"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("publish", total=size, stored=0, rate=0.0)

        async def refresh() -> None:
            while True:
                rate = tally.stored / tally.seconds if tally.seconds else 0.0
                progress.update(bar, completed=tally.bytes, stored=tally.stored, rate=rate)
                await asyncio.sleep(_REFRESH_SECONDS)

        refreshing = asyncio.create_task(refresh(), name="publish-progress")
        try:
            yield
        finally:
            refreshing.cancel()
