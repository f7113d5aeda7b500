"""Ways to NATS, as the settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slipstream.jetstream.api import Api
from slipstream.jetstream.link import Access, Link
from slipstream.settings import Settings


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Api]:
    """One NATS connection for a command, closed at the end. Waits for NATS and says so."""
    link = Link(access(settings), "slipstream-cli")
    await link.open()
    try:
        yield Api(link)
    finally:
        await link.close()


def access(settings: Settings) -> Access:
    """How the settings say to reach NATS."""
    return Access(
        servers=settings.nats_servers,
        creds=None if settings.nats_creds is None else str(settings.nats_creds),
        user=settings.nats_user,
        password=None if settings.nats_password is None else settings.nats_password.get_secret_value(),
        tls_ca=None if settings.nats_tls_ca is None else str(settings.nats_tls_ca),
        tls_cert=None if settings.nats_tls_cert is None else str(settings.nats_tls_cert),
        tls_key=None if settings.nats_tls_key is None else str(settings.nats_tls_key),
    )
