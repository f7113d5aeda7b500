"""The keys of all issuers: from a URL, from the document itself, or a secret of the tenant's."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slipstream.auth.jwk import KeySet
from slipstream.auth.jwks import Do, Jwks
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import KID_MAX, Issuer

_logger = logging.getLogger(__name__)

_URLS_MAX: Final = 1_024
_SECRET_MIN: Final = 32
"""Least bytes of a secret for HS256 (RFC 7518 section 3.2)."""


class FetchError(Exception):
    """The keys could not be fetched; the message says why."""


Fetch = Callable[[str], Awaitable[bytes]]
"""Reads the body at a URL within a deadline and a size. Raises FetchError."""


class SecretAbsent(Exception):
    """There is no such secret; the message says where it belongs."""


SecretOf = Callable[[str, str], bytes]
"""The secret of a tenant by its name. Raises SecretAbsent."""


class _Entry:
    """A URL's keys, and the reading that is under way."""

    __slots__ = ("jwks", "task")

    def __init__(self) -> None:
        self.jwks = Jwks()
        self.task: asyncio.Task[None] | None = None


class Keyring:
    """`clock` is monotonic, in seconds."""

    def __init__(self, fetch: Fetch, secret_of: SecretOf, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._secret_of = secret_of
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._inline: OrderedDict[int, tuple[Issuer, KeySet]] = OrderedDict()
        self._missing: set[tuple[str, str]] = set()

    async def find(self, issuer: Issuer, tenant: str, kid: str | None, algorithm: str) -> Any:
        """What PyJWT checks a signature with; None where the issuer has no such key.

        Raises UPSTREAM_UNAVAILABLE while there is no telling.
        """
        if issuer.secret is not None:
            return self._secret(tenant, issuer.secret)
        if kid is not None and len(kid) > KID_MAX:
            return None
        if issuer.jwks_url is not None:
            return await self._remote(issuer.jwks_url, kid, algorithm)
        key = self._written(issuer).find(kid, algorithm)
        return None if key is None else key.material

    async def close(self) -> None:
        """End the readings that are under way."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _remote(self, url: str, kid: str | None, algorithm: str) -> Any:
        entry = self._entry(url)
        waited = False
        while True:
            verdict = entry.jwks.judge(kid, algorithm, self._clock(), waited=waited)
            match verdict.do:
                case Do.USE | Do.REFRESH if verdict.key is not None:
                    if verdict.do is Do.REFRESH:
                        self._read(url, entry)
                    return verdict.key.material
                case Do.WAIT:
                    # Not awaited itself: neither a client that leaves nor an entry that goes may end the others' wait.
                    reading = self._read(url, entry)
                    await asyncio.wait({reading})
                    if not reading.cancelled():
                        reading.result()
                    waited = True
                case Do.AWAY:
                    raise SlipstreamError(
                        Code.UPSTREAM_UNAVAILABLE,
                        "the keys of the token's issuer cannot be read now",
                        retry_after=verdict.seconds,
                    )
                case _:
                    return None

    def _entry(self, url: str) -> _Entry:
        entry = self._entries.get(url)
        if entry is None:
            entry = self._entries[url] = _Entry()
            while len(self._entries) > _URLS_MAX:
                _, gone = self._entries.popitem(last=False)
                if gone.task is not None:
                    gone.task.cancel()
        self._entries.move_to_end(url)
        return entry

    def _read(self, url: str, entry: _Entry) -> asyncio.Task[None]:
        """The reading under way, begun where there is none."""
        if entry.task is None:
            entry.jwks.began()
            entry.task = asyncio.get_running_loop().create_task(self._reading(url, entry), name=f"jwks-{url}")
        return entry.task

    async def _reading(self, url: str, entry: _Entry) -> None:
        try:
            keys = KeySet.parse(await self._fetch(url))
        except (FetchError, ValueError) as error:
            _logger.warning("the keys at %s cannot be read: %s", url, error)
            entry.jwks.failed(self._clock())
        else:
            entry.jwks.succeeded(keys, self._clock())
        finally:
            if entry.jwks.reading:
                entry.jwks.failed(self._clock())
            entry.task = None

    def _written(self, issuer: Issuer) -> KeySet:
        """The keys that stand in the document, parsed once for each document."""
        # By identity, which the entry keeps alive: two tenants may call different issuers by one name.
        key = id(issuer)
        made = self._inline.get(key)
        if made is None:
            made = self._inline[key] = (issuer, KeySet(issuer.keys or ()))
            if len(made[1]) < len(issuer.keys or ()):
                _logger.warning(
                    "issuer %s: some of its keys are of no use for signatures and are left out", issuer.issuer
                )
            while len(self._inline) > _URLS_MAX:
                self._inline.popitem(last=False)
        self._inline.move_to_end(key)
        return made[1]

    def _secret(self, tenant: str, name: str) -> bytes | None:
        try:
            secret, fault = self._secret_of(tenant, name), ""
        except SecretAbsent as error:
            secret, fault = b"", str(error)
        if not fault and len(secret) < _SECRET_MIN:
            fault = f"the secret {name} has {len(secret)} bytes; HS256 needs {_SECRET_MIN} random ones"
        if fault:
            # The tenant is what an unverified token says, so an unknown one must look like a wrong signature.
            self._tell_missing(tenant, name, fault)
            return None
        self._missing.discard((tenant, name))
        return secret

    def _tell_missing(self, tenant: str, name: str, fault: str) -> None:
        """Once, and of a bounded number of tenants: their names come from whoever asks."""
        if (tenant, name) not in self._missing and len(self._missing) < _URLS_MAX:
            self._missing.add((tenant, name))
            _logger.warning("tokens of tenant %s cannot be checked: %s", tenant, fault)
