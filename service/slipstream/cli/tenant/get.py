"""`slipstream tenant get`: one tenant's document, and where its stream stands."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.tenant.find import find

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings
    from slipstream.tenants import Tenant


class Format(StrEnum):
    """How a document is printed."""

    yaml = "yaml"
    json = "json"


def get(
    name: Annotated[str, typer.Argument(help="The tenant.")],
    output: Annotated[Format, typer.Option("--output", "-o", help="The format.")] = Format.yaml,
) -> None:
    """Print a tenant's document and its stream's state.

    The state stands under `status`; the document can be applied again as it is.
    """

    async def work(_: "Settings", api: "Api") -> None:
        tenant = await find(api, name)
        typer.echo(render(document(tenant, await stream_state(api, name)), output), nl=False)

    with_nats(work)


async def stream_state(api: "Api", name: str) -> dict[str, Any] | None:
    """What the stream's leader says: epoch, first and last sequence, events, bytes; None when there is no stream.

    Raises SlipstreamError when nobody answers.
    """
    from slipstream.jetstream import stream as streams  # noqa: PLC0415 - heavy
    from slipstream.jetstream.subjects import stream_of  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy
    from slipstream.protocol.timestamp import rfc3339  # noqa: PLC0415 - heavy

    try:
        info = await streams.info(api, stream_of(name))
    except SlipstreamError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
    state = streams.describe(info).state
    last_time = None if state.last_time_ms is None else rfc3339(state.last_time_ms)
    return {
        "name": stream_of(name),
        "epoch": state.epoch,
        "first_seq": state.first_seq,
        "last_seq": state.last_seq,
        "last_time": last_time,
        "events": int(info["state"]["messages"]),
        "bytes": int(info["state"]["bytes"]),
    }


def document(tenant: "Tenant", stream: dict[str, Any] | None) -> dict[str, Any]:
    """The tenant's document with the stream's state as its status."""
    found = tenant.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**found, "status": {"stream": stream}}


def render(found: dict[str, Any], output: Format) -> str:
    """The document as text, with a final line end."""
    if output is Format.json:
        import orjson  # noqa: PLC0415 - heavy

        return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    import yaml  # noqa: PLC0415 - heavy

    return str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True))
