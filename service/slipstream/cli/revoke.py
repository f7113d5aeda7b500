"""`slipstream token revoke` and `slipstream token revoked`: tokens that are refused though they are good, by operators.

Straight over NATS: no token is needed for it, and no edge.
"""

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.session import with_nats
from slipstream.cli.status import Status, fail
from slipstream.cli.tenant.find import find
from slipstream.cli.tenant.list import columns

if TYPE_CHECKING:
    from slipstream.auth.revocations import Kind, Revocation
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings

_Tenant = Annotated[str, typer.Option("--tenant", "-t", help="The tenant whose tokens they are.")]

_HEAD = ("KIND", "NAME", "REVOKED", "REASON")


def revoke(
    tenant: _Tenant,
    subject: Annotated[str, typer.Option("--subject", "-s", help="All tokens of this subject issued until now.")] = "",
    token_id: Annotated[str, typer.Option("--id", help="The token of this id (its jti), for good.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="All tokens of the tenant issued until now.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the list.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the revocation back.")] = False,
) -> None:
    """Refuse tokens that are good, on all edges, and end their streams.

    Example: slipstream token revoke --tenant acme --subject ada --reason 'laptop lost'
    """
    from slipstream.auth.claims import TEXT_MAX  # noqa: PLC0415 - heavy
    from slipstream.auth.revocations import REASON_MAX, Kind, Revocation  # noqa: PLC0415 - heavy

    given = [(Kind.SUBJECT, subject), (Kind.TOKEN, token_id), (Kind.TENANT, tenant if everybody else "")]
    wanted = [(kind, name) for kind, name in given if name]
    if len(wanted) != 1:
        fail("which tokens? give one of --subject NAME, --id ID and --all", Status.WRONG)
    ((kind, name),) = wanted
    if len(name) > TEXT_MAX:
        fail(f"a {kind.value} has at most {TEXT_MAX} characters", Status.WRONG)
    if len(reason) > REASON_MAX or not reason.isprintable():
        fail(f"--reason is a line of at most {REASON_MAX} characters", Status.WRONG)

    async def work(_: "Settings", api: "Api") -> None:
        from slipstream.jetstream.revocations import RevocationLedger  # noqa: PLC0415 - heavy
        from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

        check_tenant(tenant)
        if not undo:
            # What stands for a tenant that was removed can be taken back.
            await _expect(api, tenant)
        ledger = RevocationLedger(api)
        await ledger.ensure()
        if not undo:
            await ledger.put(Revocation.of(tenant, kind, name, time.time(), reason))
        elif await ledger.remove(tenant, kind, name) is None:
            fail(f"{_shown(tenant, kind, name)} is not revoked; `slipstream token revoked -t {tenant}` shows what is")
        typer.echo(f"{_shown(tenant, kind, name)} {'is no longer revoked' if undo else 'revoked'}")

    with_nats(work)


def revoked(tenant: _Tenant) -> None:
    """List what is revoked of a tenant, the newest first."""

    async def work(_: "Settings", api: "Api") -> None:
        from slipstream.jetstream.revocations import RevocationLedger  # noqa: PLC0415 - heavy
        from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

        check_tenant(tenant)
        ledger = RevocationLedger(api)
        await ledger.ensure()
        found = await ledger.list(tenant)
        if not found:
            await _expect(api, tenant)
            typer.echo(f"nothing of tenant {tenant} is revoked", err=True)
            return
        for line in columns([_HEAD, *map(_row, found)]):
            typer.echo(line)

    with_nats(work)


def _row(one: "Revocation") -> tuple[str, ...]:
    at = datetime.fromtimestamp(one.at, UTC).isoformat().replace("+00:00", "Z")
    name = one.name if one.name.isprintable() else repr(one.name)
    return (one.kind.value, name, at, one.reason or "-")


def _shown(tenant: str, kind: "Kind", name: str) -> str:
    return f"tenant {tenant}" if kind.value == "tenant" else f"{kind.value} {name} of tenant {tenant}"


async def _expect(api: "Api", name: str) -> None:
    """End the command when there is no such tenant: of a name that is mistyped nothing is revoked, now or ever."""
    from slipstream.tenants import TenantError  # noqa: PLC0415 - heavy

    # Where its document is broken, edges go on with the one before.
    with contextlib.suppress(TenantError):
        await find(api, name)
