"""`slipstream tenant nats-permissions`: the NATS users of Slipstream, for who configures nats-server."""

import re
from enum import StrEnum
from typing import Annotated, Final

import typer

from slipstream.cli.status import Status, fail
from slipstream.cli.tenant.users import User, as_conf, as_json, as_nsc
from slipstream.jetstream import permissions

_BCRYPT: Final = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
"""What nats-server takes for a hash. Anything else it would take for the password itself."""

_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")


class Form(StrEnum):
    """How the users are printed."""

    conf = "conf"
    json = "json"
    nsc = "nsc"


def nats_permissions(
    tenant: Annotated[str | None, typer.Argument(metavar="NAME", help="The tenant whose producers get a user.")] = None,
    edge: Annotated[bool, typer.Option("--edge", help="The user of the edges.")] = False,
    controller: Annotated[
        bool, typer.Option("--controller", help="The user of the controller and of `slipstream tenant`.")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="nats-server's configuration, the same as JSON, or commands of nsc.")
    ] = Form.conf,
    name: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="The user's name, where one user is printed.")
    ] = None,
    password_hash: Annotated[
        str | None, typer.Option("--password-hash", metavar="BCRYPT", help="The hash of that user's password.")
    ] = None,
) -> None:
    """Print NATS users and what they may do.

    Producers of a tenant, in an account of their own, can publish its events and nothing else. Edges and controller
    share the account that has JetStream, each with the least it needs. NATS is not asked. Examples:

    slipstream tenant nats-permissions --edge --controller > base.conf

    slipstream tenant nats-permissions acme > acme.conf

    slipstream tenant nats-permissions acme --user shop --password-hash '$2a$...'

    slipstream tenant nats-permissions acme --format nsc

    The first two are for nats-server's configuration: accounts { include "base.conf" include "acme.conf" }. No password
    is made: `nats server passwd` prints the bcrypt hash of one. Where none is given, nats-server takes it from the
    environment variable that stands in its place (a hash in quotes there, too), and does not start without.
    """
    if name is not None and not _NAME.fullmatch(name):
        fail(f"--user {name!r}: 1 to 128 characters of A-Z a-z 0-9 . _ @ -", Status.WRONG)
    if password_hash is not None and form is Form.nsc:
        fail("--password-hash: users made by nsc have keys, not passwords", Status.WRONG)
    if password_hash is not None and not _BCRYPT.fullmatch(password_hash):
        fail("--password-hash: no bcrypt hash; `nats server passwd` makes one. Quote it, it has $ in it", Status.WRONG)
    users = _users(tenant, edge=edge, controller=controller)
    if name is not None or password_hash is not None:
        if len(users) != 1:
            fail("--user and --password-hash are for one user: ask for one at a time", Status.WRONG)
        users = [users[0]._replace(name=name or users[0].name, password_hash=password_hash)]
    typer.echo({Form.conf: as_conf, Form.json: as_json, Form.nsc: as_nsc}[form](users), nl=False)


def _users(tenant: str | None, *, edge: bool, controller: bool) -> list[User]:
    from slipstream.protocol.errors import SlipstreamError  # noqa: PLC0415 - heavy
    from slipstream.protocol.topic import check_tenant  # noqa: PLC0415 - heavy

    users = []
    if edge:
        users.append(User("edge", permissions.edge()))
    if controller:
        users.append(User("controller", permissions.controller()))
    if tenant is not None:
        try:
            # Its ending keeps it apart from the users above: nats-server refuses a name that comes twice.
            users.append(User(f"{check_tenant(tenant)}-producer", permissions.producer(tenant), tenant))
        except SlipstreamError as error:
            fail(error.message, Status.WRONG)
    if not users:
        fail("whose permissions? Name a tenant, or add --edge or --controller", Status.WRONG)
    return users
