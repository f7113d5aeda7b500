"""`slipstream tenant list`: all tenants, one a line."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.tenant.get import stream_state

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings

_HEAD: Final = ("NAME", "EPOCH", "FIRST", "LAST", "EVENTS", "BYTES", "LAST EVENT")
_AT_ONCE: Final = 16


def list_tenants() -> None:
    """List the tenants and the state of their streams."""

    async def work(_: "Settings", api: "Api") -> None:
        from slipstream.jetstream.bucket import Bucket  # noqa: PLC0415 - heavy
        from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy

        try:
            names = [tenant.name for tenant in await Bucket(api).list()]
        except SlipstreamError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            names = []
        if not names:
            typer.echo("there are no tenants yet: make one with `slipstream tenant apply -f FILE`", err=True)
            return
        room = asyncio.Semaphore(_AT_ONCE)

        async def state(name: str) -> dict[str, Any] | None:
            async with room:
                return await stream_state(api, name)

        states = await asyncio.gather(*map(state, names))
        for line in columns([_HEAD, *map(row, names, states)]):
            typer.echo(line)

    with_nats(work)


def row(name: str, stream: dict[str, Any] | None) -> tuple[str, ...]:
    """A tenant's cells; dashes where it has no stream."""
    if stream is None:
        return (name, *"-" * (len(_HEAD) - 1))
    cells = (stream[key] for key in ("epoch", "first_seq", "last_seq", "events", "bytes", "last_time"))
    return (name, *("-" if cell is None else str(cell) for cell in cells))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines with aligned columns, three spaces between them."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip() for one in rows]
