"""`slipstream publish`: one event, or a file of them."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.status import Status, fail
from slipstream.cli.tenant.find import find

if TYPE_CHECKING:
    from slipstream.cli.publish.send import Tally
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings


def publish(  # noqa: PLR0917 - the options of a command
    topic: Annotated[str | None, typer.Argument(help="The topic, as orders.new; not with --file.")] = None,
    data: Annotated[str | None, typer.Argument(help="The event's data; all of stdin where it is left out.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="The tenant.")] = "",
    event: Annotated[str, typer.Option("--event", "-e", help="The event's name.")] = "",
    id_: Annotated[
        str | None, typer.Option("--id", help="The producer's id: the same again within 120 s is not stored twice.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="The business id, shown at the end of the id.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="NDJSON of {topic, event?, data, id?, key?}; - for stdin."),
    ] = None,
) -> None:
    """Publish one event, or a file of them, over NATS.

    Waits for the acknowledgement and prints the event's place in the log. SLIPSTREAM_NATS_URL says where NATS is.

    With --file many are in flight at once, in their order. The first that fails ends it, and its line is told; where
    the events have an id, publishing the file again within 120 s stores none twice.
    """
    if not tenant:
        fail("whose event is it? add --tenant NAME", Status.WRONG)
    if file is not None:
        if topic is not None or event or id_ is not None or key is not None:
            fail("with --file everything stands in its lines: leave TOPIC and its options out", Status.WRONG)
        source = _open(file)
        with_nats(lambda settings, api: _publish_file(settings, api, tenant, source))
        return
    if topic is None:
        fail("say which TOPIC, or give a --file", Status.WRONG)
    payload = _payload(data)

    async def work(settings: "Settings", api: "Api") -> None:
        from slipstream.jetstream.publish import Publisher  # noqa: PLC0415 - heavy
        from slipstream.protocol.position import Position  # noqa: PLC0415 - heavy
        from slipstream.protocol.publication import publication  # noqa: PLC0415 - heavy

        limit = await _event_bytes(settings, api, tenant)
        one = publication(topic, payload, limit=limit, event=event, id_=id_, key=key)
        stored = await Publisher(api).publish(
            tenant, one.topic, one.data, event=one.event, key=one.key, message_id=one.message_id
        )
        typer.echo(str(Position(stored.epoch, stored.seq)))
        if stored.duplicate:
            typer.echo("it was stored before: this is its place", err=True)

    with_nats(work)


async def _publish_file(settings: "Settings", api: "Api", tenant: str, source: BinaryIO) -> None:
    from slipstream.cli.publish.lines import read_lines, size_of  # noqa: PLC0415 - heavy
    from slipstream.cli.publish.progress import show_progress  # noqa: PLC0415 - heavy
    from slipstream.cli.publish.send import LineFailed, Sender  # noqa: PLC0415 - heavy
    from slipstream.jetstream.publish import Publisher  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import Code  # noqa: PLC0415 - heavy
    from slipstream.protocol.publication import parse_publication  # noqa: PLC0415 - heavy

    limit = await _event_bytes(settings, api, tenant)
    sender = Sender(Publisher(api), tenant, lambda line: parse_publication(line, limit))
    try:
        async with show_progress(sender.tally, size_of(source)):
            await sender.send(read_lines(source))
    except LineFailed as error:
        _summarize(sender.tally)
        status = Status.WRONG if error.cause.code is Code.BAD_REQUEST else Status.FAILED
        fail(f"{source.name}: {error}", status)
    except asyncio.CancelledError:
        _summarize(sender.tally)
        raise
    _summarize(sender.tally)


async def _event_bytes(settings: "Settings", api: "Api", name: str) -> int:
    """The largest event of a tenant. Ends the command when there is no such tenant."""
    tenant = await find(api, name)
    return tenant.spec.event_bytes or settings.event_bytes


def _summarize(tally: "Tally") -> None:
    from slipstream.protocol.position import Position  # noqa: PLC0415 - heavy

    seconds = max(tally.seconds, 0.001)
    again = f", {tally.duplicates:,} of them stored before" if tally.duplicates else ""
    last = f"; the last is {Position(tally.last.epoch, tally.last.seq)}" if tally.last else ""
    typer.echo(f"{tally.stored:,} events stored{again} in {seconds:.1f} s ({tally.stored / seconds:,.0f}/s){last}")


def _payload(data: str | None) -> bytes:
    if data is not None:
        return os.fsencode(data)
    if sys.stdin.isatty():
        fail("the event has no data: give DATA, or pipe it in", Status.WRONG)
    return sys.stdin.buffer.read()


def _open(file: str) -> BinaryIO:
    from slipstream.cli.publish.lines import open_source  # noqa: PLC0415 - heavy

    try:
        return open_source(file)
    except OSError as error:
        fail(f"{file}: {error.strerror}", Status.WRONG)
