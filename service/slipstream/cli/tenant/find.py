"""The tenant that a command names, or the end of the command."""

from typing import TYPE_CHECKING

from slipstream.cli.status import fail

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.tenants import Tenant


async def find(api: "Api", name: str) -> "Tenant":
    """Its document. Ends the command when there is no such tenant. Raises what `Bucket.get` does."""
    from slipstream.jetstream.bucket import Bucket  # noqa: PLC0415 - heavy
    from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

    tenant = await Bucket(api).get(check_tenant(name))
    if tenant is None:
        fail(f"there is no tenant {name}; `slipstream tenant list` shows those there are")
    return tenant
