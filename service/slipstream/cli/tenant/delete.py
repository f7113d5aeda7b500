"""`slipstream tenant delete`: end a tenant, and its history unless told to keep it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.status import Status, fail
from slipstream.cli.tenant.get import stream_state

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.jetstream.bucket import Bucket
    from slipstream.settings import Settings


def delete(
    name: Annotated[str, typer.Argument(help="The tenant.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_stream: Annotated[
        bool, typer.Option("--keep-stream", help="Keep the stored events: the tenant can be applied again with them.")
    ] = False,
) -> None:
    """Remove a tenant and its stored events.

    Its readers are sent away.
    """
    if not yes:
        _ask(name, keep_stream=keep_stream)

    async def work(_: "Settings", api: "Api") -> None:
        from slipstream.jetstream import stream as streams  # noqa: PLC0415 - heavy
        from slipstream.jetstream.bucket import Bucket  # noqa: PLC0415 - heavy
        from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

        check_tenant(name)
        stream = await stream_state(api, name)
        # The document first: edges let their readers go before the stream is gone under them.
        document = await _remove_document(Bucket(api), name)
        history = not keep_stream and await streams.remove(api, name)
        if not document and not history:
            kept = "" if stream is None else f"; its stream {stream['name']} is kept"
            fail(f"there is no tenant {name}{kept}; `slipstream tenant list` shows those there are")
        kept = f"; its {stream['events']} events are kept" if stream is not None and keep_stream else ""
        typer.echo(f"tenant {name} deleted{kept}")

    with_nats(work)


async def _remove_document(bucket: "Bucket", name: str) -> bool:
    from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy

    try:
        return await bucket.delete(name)
    except SlipstreamError as error:
        if error.code is Code.NOT_FOUND:
            return False
        raise


def _ask(name: str, *, keep_stream: bool) -> None:
    """Ask, telling what is at stake. On a connection of its own: an answer may take longer than NATS' patience."""
    if not sys.stdin.isatty():
        fail(f"nobody to ask whether tenant {name} may be deleted: add --yes", Status.WRONG)

    async def count(_: "Settings", api: "Api") -> int:
        from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

        stream = await stream_state(api, check_tenant(name))
        return 0 if stream is None else stream["events"]

    events = with_nats(count)
    loss = f"keep its {events} stored events" if keep_stream else f"its {events} stored events for ever"
    typer.confirm(f"Delete tenant {name} and {loss}?", abort=True)
