"""Fetches issuers' keys: one URL of the configuration, no redirects, a deadline, a size."""

from __future__ import annotations

from typing import Final

import aiohttp

from slipstream.auth.keyring import FetchError

_SECONDS: Final = 5.0
_BYTES_MAX: Final = 256 * 1_024
_OK: Final = 200


class JwksClient:
    """Opens its session at the first fetch: most edges of a laptop never need one."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """The body at `url`, at most 256 KiB, within 5 s. Raises FetchError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=16, force_close=True),
            )
        try:
            # A redirect would lead where nobody has agreed to read keys from.
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status != _OK:
                    raise FetchError(f"the answer is {answer.status}")
                body = bytearray()
                async for block in answer.content.iter_any():
                    body += block
                    if len(body) > _BYTES_MAX:
                        raise FetchError(f"the answer has more than {_BYTES_MAX} bytes")
                return bytes(body)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise FetchError(str(error) or f"no answer within {_SECONDS:g} s") from error

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None
