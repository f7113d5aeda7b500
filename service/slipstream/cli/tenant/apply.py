"""`slipstream tenant apply`: make the tenants of a file, or change them to what it says."""

import asyncio
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.status import Status, fail

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings
    from slipstream.tenants import Tenant

_BIRTH_SECONDS: Final = 20.0
"""A cluster of three that was started in this moment stores something after 3 to 10 s (nats-server 2.15.1)."""

_AGAIN_SECONDS: Final = 0.5


class Outcome(StrEnum):
    """What applying a document did."""

    created = "created"
    configured = "configured"
    unchanged = "unchanged"


def apply(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON, one or several documents; - for stdin.")
    ],
) -> None:
    """Make or change the tenants of a file.

    All documents are checked before anything is done. A limit that a document leaves out is the default of
    SLIPSTREAM_RETENTION_SECONDS and SLIPSTREAM_RETENTION_BYTES. A NATS that answers but cannot store yet is waited for,
    20 s at most; one that does not listen, 5 s.
    """
    tenants = _read(file)

    async def work(settings: "Settings", api: "Api") -> None:
        for tenant in tenants:
            typer.echo(f"tenant {tenant.name} {await _patiently(api, settings, tenant)}")

    with_nats(work)


async def _patiently(api: "Api", settings: "Settings", tenant: "Tenant") -> Outcome:
    """Apply it, again for 20 s where that may help, and say once why it has to be waited for.

    A cluster that is just born, or has just lost a node, answers before it has enough nodes to store anything ("no
    suitable peers", 10005) or a leader (silence). Raises what `apply_tenant` does; what it waited for says so.
    """
    from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy

    until, told = time.monotonic() + _BIRTH_SECONDS, False
    while True:
        try:
            return await apply_tenant(api, settings, tenant)
        except SlipstreamError as error:
            passing = error.code is Code.UPSTREAM_UNAVAILABLE and error.retry_after is not None
            if not passing:
                raise
            if time.monotonic() > until:
                text = f"gave up after {_BIRTH_SECONDS:g} s: {error.message}"
                raise SlipstreamError(error.code, text, retry_after=error.retry_after) from error
            if not told:
                told = True
                sys.stderr.write(f"slipstream: waiting up to {_BIRTH_SECONDS:g} s for JetStream: {error.message}\n")
                sys.stderr.flush()
        await asyncio.sleep(_AGAIN_SECONDS)


async def apply_tenant(api: "Api", settings: "Settings", tenant: "Tenant") -> Outcome:
    """Make or change the tenant's stream, then write its document, so that no edge serves a tenant without a stream.

    Raises SlipstreamError when NATS refuses or does not answer; applying again goes on from there.
    """
    from slipstream.jetstream import stream as streams  # noqa: PLC0415 - heavy
    from slipstream.jetstream.bucket import Bucket  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy
    from slipstream.tenants import TenantError  # noqa: PLC0415 - heavy

    bucket = Bucket(api)
    await bucket.ensure()
    try:
        known = await bucket.get(tenant.name) is not None
    except TenantError:
        # A broken document is mended by this one.
        known = True
    try:
        before = (await streams.find(api, tenant.name)).config
    except SlipstreamError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        before = {}
    retention = tenant.spec.retention
    shape = streams.Shape(
        max_age=retention.max_age or settings.retention_seconds,
        max_bytes=retention.max_bytes or settings.retention_bytes,
        replicas=tenant.spec.replicas,
    )
    after = (await streams.ensure(api, tenant.name, shape)).config
    written = await bucket.put(tenant)
    if not known:
        return Outcome.created
    return Outcome.configured if written or before != after else Outcome.unchanged


def _read(file: str) -> list["Tenant"]:
    from slipstream.tenants import TenantError, parse_tenants  # noqa: PLC0415 - heavy

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}", Status.WRONG)
    except UnicodeDecodeError as error:
        fail(f"{file}: not UTF-8 at byte {error.start}: save it as UTF-8", Status.WRONG)
    try:
        return parse_tenants(text)
    except TenantError as error:
        faults = "".join(f"\n  {fault}" for fault in error.faults)
        fail(f"{'stdin' if file == '-' else file} is not applied:{faults}", Status.WRONG)
