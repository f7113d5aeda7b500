"""Fetches issuers' keys: from one URL of the configuration, within a deadline and a size."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from slipstream.auth.keyring import Fetch, FetchError
from slipstream.edge.outbound import Outbound, OutboundError

FETCH_SECONDS: Final = 5.0
"""The deadline of a reading."""

_BYTES_MAX: Final = 256 * 1_024
_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json"}


def jwks_client(outbound: Outbound) -> Fetch:
    """Reads the body at a URL: at most 256 KiB, within 5 s."""

    async def fetch(url: str) -> bytes:
        try:
            # Each URL for itself: there is one reading of it at a time, and tenants may share it.
            answer = await outbound.ask(url, url, seconds=FETCH_SECONDS, most=_BYTES_MAX, headers=_HEADERS)
        except OutboundError as error:
            raise FetchError(str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise FetchError(f"the answer is {answer.status}")
        return answer.body

    return fetch
