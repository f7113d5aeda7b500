"""`slipstream tail`: print a stream's events as they come, over every reconnect."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.status import Status, fail

if TYPE_CHECKING:
    from slipstream.cli.tail.bookmark import Bookmark
    from slipstream.cli.tail.show import Form
    from slipstream.client import Stream


def tail(  # noqa: PLR0913, PLR0917 - the options of a command
    url: Annotated[str, typer.Argument(help="The server, as http://127.0.0.1:8080.")],
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="A topic or filter, as orders.>; repeatable; all without it.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="The tenant.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Where to begin: now (the default), earliest, last, or an RFC 3339 time.")
    ] = None,
    last_event_id: Annotated[
        str | None, typer.Option("--last-event-id", help="Go on after this event; wins over --save and --since.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the data alone.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line: {id, event, data}.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the last id in a file, and go on from it the next time.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
) -> None:
    """Print events as they come, over every reconnect.

    Nothing comes twice, nothing is missed in silence, and the order is checked. Losses that the server tells (gaps)
    are printed loudly, on stderr with --raw and --json. Ctrl-C ends it with a summary.
    """
    from slipstream.cli.tail.bookmark import Bookmark  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.show import Form  # noqa: PLC0415 - heavy
    from slipstream.client import OrderViolation, Refused, Stream, Unreachable  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import SlipstreamError  # noqa: PLC0415 - heavy

    if raw and json:
        fail("--raw and --json are two forms: choose one", Status.WRONG)
    bookmark = None if save is None else Bookmark(save)
    try:
        begin = last_event_id or (bookmark.load() if bookmark else None)
        stream = Stream(url, topic or (), tenant, last_event_id=begin, since=None if begin else since)
    except SlipstreamError as error:
        fail(error.message, Status.WRONG)
    except ValueError as error:
        fail(str(error), Status.WRONG)
    except OSError as error:
        fail(f"{save}: {error.strerror}", Status.WRONG)
    form = Form.raw if raw else Form.json if json else Form.text
    try:
        asyncio.run(_follow(stream, form, bookmark, count))
    except Refused as error:
        fail(f"refused: {error}")
    except Unreachable as error:
        fail(str(error))
    except OrderViolation as error:
        fail(f"THE ORDER IS BROKEN: {error}", Status.BROKEN)
    except ValueError as error:
        fail(str(error))


async def _follow(stream: "Stream", form: "Form", bookmark: "Bookmark | None", count: int | None) -> None:
    """Print until `count` events, SIGINT, SIGTERM, or an exception of the stream; then the summary."""
    from slipstream.cli.tail.show import summary  # noqa: PLC0415 - heavy
    from slipstream.client import OrderViolation  # noqa: PLC0415 - heavy

    began = time.monotonic()
    printing = asyncio.create_task(_print(stream, form, bookmark, count), name="tail")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, printing.cancel)
    await asyncio.wait({printing})
    if bookmark:
        _keep(bookmark.flush, stream.last_event_id)
    error = None if printing.cancelled() else printing.exception()
    text = summary(
        stream.counters,
        time.monotonic() - began,
        stream.last_event_id,
        ordered=not isinstance(error, OrderViolation),
    )
    # Behind the ^C that a terminal shows.
    sys.stderr.write(("\n" if printing.cancelled() and sys.stderr.isatty() else "") + text + "\n")
    if error is not None:
        raise error


async def _print(stream: "Stream", form: "Form", bookmark: "Bookmark | None", count: int | None) -> None:
    from slipstream.cli.tail.show import GAP, Form, gap_line, line  # noqa: PLC0415 - heavy

    colour = sys.stdout.isatty()
    async with stream:
        async for message in stream:
            if message.event == GAP and form is not Form.text:
                sys.stderr.write(gap_line(message.data, colour=sys.stderr.isatty()) + "\n")
            clock = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
            if text := line(message, form, clock, colour=colour):
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            if bookmark:
                _keep(bookmark.save, stream.last_event_id, time.monotonic())
            if count is not None and stream.counters.events >= count:
                return


def _keep(write: Callable[..., None], *what: object) -> None:
    try:
        write(*what)
    except OSError as error:
        fail(f"the last id is not kept ({error}): give --save a file that can be written")


def _tell_reconnects() -> None:
    """Have the client's own account of lost connections on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("\x1b[2m%(message)s\x1b[0m" if sys.stderr.isatty() else "%(message)s"))
    logger = logging.getLogger("slipstream.client")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
