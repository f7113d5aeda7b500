"""What decides who gets in: tokens and the keys of their issuers, the tenants' authorizers."""

from __future__ import annotations

import time
from typing import NamedTuple

from slipstream.auth.issuers import IssuersOf, read_issuers
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.revocations import Revocations
from slipstream.auth.verify import Verifier
from slipstream.edge.authorizer import Authorizers
from slipstream.edge.jwks_client import jwks_client
from slipstream.edge.outbound import Outbound, is_public
from slipstream.settings import Settings
from slipstream.settings.secrets import SecretFiles
from slipstream.shape.event import SecretMissing
from slipstream.tenants.registry import Registry


class Tokens(NamedTuple):
    """Its parts. `close` ends what they have under way and open."""

    verifier: Verifier
    authorizers: Authorizers
    keyring: Keyring
    outbounds: tuple[Outbound, ...]

    async def close(self) -> None:
        """In the order in which they need one another."""
        await self.authorizers.close()
        await self.keyring.close()
        for outbound in self.outbounds:
            await outbound.close()


def tokens(settings: Settings, secret_files: SecretFiles, registry: Registry, revocations: Revocations) -> Tokens:
    """Raises IssuersError for a file of default issuers that cannot be used."""

    def secret_of(tenant: str, name: str) -> bytes:
        try:
            return secret_files.get(tenant, name)
        except SecretMissing as error:
            raise SecretAbsent(str(error)) from error

    allows = is_public if settings.deny_private_networks else None
    # Connections of their own: the webhooks of some tenants must not keep all others from the keys of their issuers.
    issuers, webhooks = Outbound(allows), Outbound(allows)
    keyring = Keyring(jwks_client(issuers), secret_of, time.monotonic)
    defaults = () if settings.issuers is None else read_issuers(settings.issuers)
    verifier = Verifier(keyring, IssuersOf(defaults, registry), revocations.revoked)
    return Tokens(verifier, Authorizers(webhooks), keyring, (issuers, webhooks))
