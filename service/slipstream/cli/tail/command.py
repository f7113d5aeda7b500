"""`slipstream tail`: print a stream's events as they come, over every reconnect."""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from slipstream.cli.status import Status, fail

if TYPE_CHECKING:
    from slipstream.cli.tail.follow import Ended, Job
    from slipstream.cli.tail.save import Save
    from slipstream.client import Stream

_LOOK = "What to print"
_PICK = "Which events"
_KEEP = "What to keep"


def tail(  # noqa: PLR0913, PLR0917 - the options of a command
    url: Annotated[str, typer.Argument(help="The server, as http://127.0.0.1:8080.")],
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="A topic or filter, as orders.>; repeatable; all without it.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="The tenant.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="SLIPSTREAM_TOKEN",
            show_envvar=True,
            help="The token that the server wants. On the command line other users of the machine can see it.",
        ),
    ] = None,
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="WHERE",
            help="Where to begin: now, earliest, last (the newest of each topic), an RFC 3339 time, a while ago as 15m,"
            " or an event id, after which to go on.",
        ),
    ] = "now",
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="NAME", help="Only events of this name; repeatable.")
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(
            "--match",
            metavar="CONDITION",
            help="Only events whose JSON data has it: a JSON pointer (/flight), or one with =, !=, <, <=, > or >= and"
            " a value (/mag>=4.5); repeatable, all must hold.",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object a line: id, event, received, data; topic and time if known."
        ),
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the data alone.")] = False,
    envelope: Annotated[
        Literal["none", "cloudevents"],
        typer.Option(help="cloudevents: ask for events that tell their topic and time (a server may not offer it)."),
    ] = "none",
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append what is shown to a file, as --json prints it.")
    ] = None,
    bookmark: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the last id in a file, and go on from it the next time, not --from."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events were shown.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--for", metavar="SECONDS", min=0.1, help="End after this time; status 1 where --count was not reached."
        ),
    ] = None,
) -> None:
    """Print events as they come, over every reconnect.

    Nothing comes twice, nothing is missed in silence, and the order is checked. Losses that the server tells (gaps)
    are told on stderr, with what to do. Ctrl-C ends it with a summary.

    Follow two kinds of topics: slipstream tail http://localhost:8080 -t flights --topic 'flights.>' --topic alerts

    Strong earthquakes of the last day: slipstream tail URL -t quakes --from 24h --match
    '/properties/mag>=6'

    Record without a hole, over restarts: slipstream tail URL -t acme --from earliest --save acme.ndjson --bookmark
    acme.id

    With a token: SLIPSTREAM_TOKEN=$(slipstream token -t acme --key dev.pem) slipstream tail URL

    Wait for one event, ten seconds at most: slipstream tail URL -t acme --event order-paid --count 1 --for 10 --raw
    """
    from slipstream.cli.tail.begin import Begin, parse_from, remembered  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.bookmark import Bookmark  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.follow import Job  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.match import Condition, Wanted  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.show import Form  # noqa: PLC0415 - heavy
    from slipstream.client import Stream  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import SlipstreamError  # noqa: PLC0415 - heavy

    if raw and json:
        fail("--raw and --json are two forms: choose one", Status.WRONG)
    if save is not None and save == bookmark:
        fail("--save and --bookmark are two files: give each its own", Status.WRONG)
    topics = topic or []
    with contextlib.ExitStack() as stack:
        try:
            wanted = Wanted(frozenset(event or ()), [Condition.parse(text) for text in match or ()])
            where = parse_from(begin, time.time())
            saved = None if save is None else stack.enter_context(_open(save))
            marked = None if bookmark is None else Bookmark(bookmark, saved.sync if saved else lambda: None)
            if marked is not None and (id_ := remembered(marked.load(), saved.last_id if saved else None)):
                where = Begin(last_event_id=id_)
            asked = [("envelope", envelope)] if envelope != "none" else []
            stream = Stream(url, topics, tenant, **where._asdict(), token=token, parameters=asked, control=True)
        except SlipstreamError as error:
            fail(f"{bookmark}: {error.message}" if bookmark else error.message, Status.WRONG)
        except ValueError as error:
            fail(str(error), Status.WRONG)
        except OSError as error:
            fail(f"{error.filename or bookmark}: {error.strerror}", Status.WRONG)
        form = Form.raw if raw else Form.json if json else Form.text
        known = topics[0] if len(topics) == 1 and not {"*", ">"} & set(topics[0].split(".")) else None
        _run(stream, Job(form, wanted, known, bool(asked), saved, marked, count, seconds))


def _open(path: Path) -> "Save":
    from slipstream.cli.tail.save import Save  # noqa: PLC0415 - heavy

    try:
        opened = Save(path)
    except BlockingIOError:
        fail(f"{path}: another process saves to it: give --save another file", Status.WRONG)
    except OSError as error:
        fail(f"{path}: {error.strerror}", Status.WRONG)
    if opened.torn:
        sys.stderr.write(f"slipstream: {path}: its last line was broken off and is cut away\n")
    return opened


def _run(stream: "Stream", job: "Job") -> None:
    """Follow, and make of every end its status and its words."""
    from slipstream.cli.tail.advice import failure, refusal  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.follow import Ended, Unwritable  # noqa: PLC0415 - heavy
    from slipstream.client import OrderViolation, Refused, Unreachable  # noqa: PLC0415 - heavy

    _tell_reconnects()
    try:
        ended, shown = asyncio.run(_follow(stream, job))
    except Refused as error:
        fail(refusal(error.code, error.message, error.status))
    except Unreachable as error:
        fail(f"{failure(str(error))}. Is the server running, and is the URL right?")
    except OrderViolation as error:
        fail(f"THE ORDER IS BROKEN: {error}. This is a fault of the server: please report it", Status.BROKEN)
    except (Unwritable, ValueError) as error:
        fail(str(error))
    if ended is Ended.TIME and not stream.counters.connects:
        fail(f"no stream was opened within {job.seconds:g} s. Is the server running, and is the URL right?")
    if ended is Ended.TIME and job.most is not None:
        fail(f"{shown} of {job.most} events came within {job.seconds:g} s")
    if ended is Ended.SIGNAL and job.most is not None:
        # What waits for this event, as in `tail --count 1 && ...`, must not go on.
        fail(f"{shown} of {job.most} events had come when it was interrupted", Status.INTERRUPTED)


async def _follow(stream: "Stream", job: "Job") -> "tuple[Ended, int]":
    """Until the job is done, SIGINT, SIGTERM, or an exception of the stream; then the summary."""
    from slipstream.cli.tail.follow import Ended, Tail  # noqa: PLC0415 - heavy
    from slipstream.cli.tail.show import summary  # noqa: PLC0415 - heavy
    from slipstream.client import OrderViolation  # noqa: PLC0415 - heavy

    began = time.monotonic()
    following = Tail(stream, job)
    task = asyncio.create_task(following.run(), name="tail")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    following.remember()
    told = summary(
        stream.counters,
        following.shown,
        time.monotonic() - began,
        following.place,
        ordered=not isinstance(error, OrderViolation),
    )
    # Behind the ^C that a terminal shows.
    sys.stderr.write(("\n" if task.cancelled() and sys.stderr.isatty() else "") + told + "\n")
    if error is not None:
        raise error
    return (Ended.SIGNAL if task.cancelled() else task.result()), following.shown


def _tell_reconnects() -> None:
    """Have the client's own account of lost connections on stderr."""
    from slipstream.cli.tail.advice import failure  # noqa: PLC0415 - heavy

    def advise(record: logging.LogRecord) -> bool:
        record.msg, record.args = failure(record.getMessage()), ()
        return True

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(advise)
    handler.setFormatter(logging.Formatter("\x1b[2m%(message)s\x1b[0m" if sys.stderr.isatty() else "%(message)s"))
    logger = logging.getLogger("slipstream.client")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
