"""The command `slipstream`, put together."""

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from slipstream import __version__
from slipstream.cli.check_config import check_config
from slipstream.cli.dev.command import dev
from slipstream.cli.edge import edge
from slipstream.cli.publish.command import publish
from slipstream.cli.revoke import revoke, revoked
from slipstream.cli.status import EPILOG
from slipstream.cli.tail.command import tail
from slipstream.cli.tenant.apply import apply
from slipstream.cli.tenant.delete import delete
from slipstream.cli.tenant.get import get
from slipstream.cli.tenant.list import list_tenants
from slipstream.cli.tenant.permissions import nats_permissions
from slipstream.cli.token import token as mint

_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Server-sent events for many tenants, over NATS JetStream. Begin with: slipstream dev",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take half a second to load, for boxes around a help text
    context_settings=_OPTIONS,
)
tenant = typer.Typer(
    help="Make, change, show and remove tenants.",
    no_args_is_help=True,
    context_settings=_OPTIONS,
    epilog=EPILOG,
    rich_markup_mode=None,
)
token = typer.Typer(context_settings=_OPTIONS, rich_markup_mode=None)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slipstream {__version__}")
        raise typer.Exit


@app.callback()
def slipstream(
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before any command."""


def _help(command: Callable[..., None]) -> str:
    """The docstring with its lines joined: typer would keep their ends."""
    return "\n\n".join(part.replace("\n", " ") for part in (inspect.getdoc(command) or "").split("\n\n"))


for _to, _name, _command in (
    (app, "dev", dev),
    (app, "tail", tail),
    (app, "publish", publish),
    (app, "edge", edge),
    (app, "check-config", check_config),
    (tenant, "apply", apply),
    (tenant, "get", get),
    (tenant, "list", list_tenants),
    (tenant, "delete", delete),
    (tenant, "nats-permissions", nats_permissions),
    (token, "revoke", revoke),
    (token, "revoked", revoked),
):
    _to.command(_name, help=_help(_command), epilog=EPILOG)(_command)
app.add_typer(tenant, name="tenant")
# Without a command it mints, as it always did.
token.callback(invoke_without_command=True, help=_help(mint), epilog=EPILOG)(mint)
app.add_typer(token, name="token")
