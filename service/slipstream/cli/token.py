"""`slipstream token`: a token for development, signed with a key of one's own."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slipstream.cli.session import load_settings
from slipstream.cli.status import Status, fail

if TYPE_CHECKING:
    from slipstream.auth.mint import SigningKey

_SCOPES: Final = ["subscribe", "publish"]


def token(  # noqa: PLR0913, PLR0917 - the options of a command
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="The tenant that it is for.")] = "",
    subject: Annotated[str, typer.Option("--subject", "-s", help="Who it speaks for.")] = "dev",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it allows: subscribe, publish, admin, pii:read; repeat it for several."),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="A topic or pattern that it is for; repeat it. All topics where there is none."),
    ] = None,
    lifetime: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it is good: 90s, 15m, 1h.")] = "1h",
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Private key (PEM): RSA, EC P-256 or Ed25519.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="NAME", help="The tenant's secret of that name, in SLIPSTREAM_SECRETS."),
    ] = None,
    issuer: Annotated[str, typer.Option("--issuer", help="Its iss, as the edge's list of issuers has it.")] = "",
    audience: Annotated[str, typer.Option("--audience", help="Its aud.")] = "",
    jwks: Annotated[
        bool, typer.Option("--jwks", help="Print the public half of --key instead, for the list of issuers.")
    ] = False,
) -> None:
    """Mint a token for development, and print it.

    It is for the scopes subscribe and publish where no --scope says otherwise. The edge has to know the issuer
    (slipstream-dev unless --issuer says otherwise): the page Security of the documentation shows how.

    With a command behind it, it mints nothing: `revoke` refuses tokens that are good, `revoked` lists them.

    Example: slipstream token --tenant acme --scope subscribe --topic 'orders.>' --for 15m --key dev.pem

    Example: curl -H "Authorization: Bearer $(slipstream token -t acme --key dev.pem)" localhost:8080/v1/events
    """
    if context.invoked_subcommand is not None:
        return
    from slipstream.auth.mint import DEV_ISSUER, Wanted, mint  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import SlipstreamError  # noqa: PLC0415 - heavy
    from slipstream.protocol.topic import Filter, check_tenant  # noqa: PLC0415 - heavy
    from slipstream.tenants.issuer import AUDIENCE  # noqa: PLC0415 - heavy
    from slipstream.tenants.quantity import parse_duration  # noqa: PLC0415 - heavy

    if (key is None) == (secret is None):
        fail("what is it signed with? give either --key FILE or --secret NAME", Status.WRONG)
    if jwks:
        _print_jwks(_signing_key("", key, None))
        return
    if not tenant:
        fail("whose events is it for? add --tenant NAME", Status.WRONG)
    try:
        check_tenant(tenant)
        for pattern in topic or ():
            Filter.parse(pattern)
        seconds = parse_duration(lifetime)
    except SlipstreamError as error:
        fail(error.message, Status.WRONG)
    except ValueError as error:
        fail(f"--for {lifetime}: {error}", Status.WRONG)
    if not seconds:
        fail(f"--for {lifetime}: such a token has ended already", Status.WRONG)
    wanted = Wanted(tenant, subject, scope or _SCOPES, topic, issuer or DEV_ISSUER, audience or AUDIENCE)
    signing = _signing_key(tenant, key, secret)
    typer.echo(mint(wanted, signing, int(time.time()), seconds, secrets.token_hex(8)))


def _signing_key(tenant: str, key: Path | None, secret: str | None) -> SigningKey:
    from slipstream.auth.mint import private_key, shared_secret  # noqa: PLC0415 - heavy

    if key is not None:
        try:
            return private_key(key.read_bytes())
        except OSError as error:
            fail(f"{key}: {error.strerror}", Status.WRONG)
        except ValueError as error:
            fail(f"{key}: {error}", Status.WRONG)
    from slipstream.settings.secrets import SecretFiles  # noqa: PLC0415 - heavy
    from slipstream.shape.event import SecretMissing  # noqa: PLC0415 - heavy

    if secret is None:
        fail("--jwks needs a --key: a secret has no public half", Status.WRONG)
    try:
        return shared_secret(SecretFiles(load_settings().secrets).get(tenant, secret))
    except SecretMissing as error:
        fail(str(error), Status.WRONG)
    except ValueError as error:
        fail(f"the secret {secret}: {error}", Status.WRONG)


def _print_jwks(key: SigningKey) -> None:
    typer.echo(json.dumps({"keys": [key.jwk]}))
