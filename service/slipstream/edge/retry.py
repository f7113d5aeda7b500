"""What is agreed with one client about coming back: found once for a request, told by every answer to it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from slipstream.edge.services import SERVICES
from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.retry import BASE_HEADER, HEADER, PARAMETER, POLICY_HEADER, Preferences, Terms
from slipstream.resilience.pacing import within
from slipstream.tenants.model import Tenant
from slipstream.tenants.retry import Retry, negotiate

_TERMS = web.RequestKey("retry_terms", Terms)
_NOTHING: Final = Preferences()
_ANY: Final = Retry()

READING: Final = ("GET", "HEAD")
"""The methods of those who read."""


def agree(request: web.Request, tenant: Tenant) -> None:
    """From now on the tenant's policy counts: its reader or producer was let in.

    Before, and for whoever is not let in, it is the one of a tenant that says nothing: a refusal must not tell which
    tenants there are.
    """
    request[_TERMS] = _negotiate(request, tenant.spec.retry or _ANY)


def disagree(request: web.Request) -> None:
    """Not let in after all: nothing of the tenant's policy may show."""
    request.pop(_TERMS, None)


def unsafe(request: web.Request) -> None:
    """Events without an identity go to the log now: whatever fails from here on must not be repeated.

    Only 429 stays: it is said before anything is stored.
    """
    request[_TERMS] = agreed(request)._replace(idempotency_aware=False, retryable=("429",))


def agreed(request: web.Request) -> Terms:
    """What counts for this request."""
    terms = request.get(_TERMS)
    if terms is None:
        terms = request[_TERMS] = _negotiate(request, _ANY)
    return terms


def retry_headers(request: web.Request) -> dict[str, str]:
    """`X-Retry-Policy` and `X-Retry-Backoff-Base`."""
    terms = agreed(request)
    return {POLICY_HEADER: terms.policy, BASE_HEADER: str(terms.base_ms)}


def retry_ms(request: web.Request, error: SlipstreamError | None = None) -> int:
    """The `retry:` of a stream, open or refused: at least 1,000, as late as `error` says, within the agreed jitter."""
    terms = agreed(request)
    least = 0 if error is None or error.retry_after is None else int(error.retry_after * 1_000)
    return within(max(terms.base_ms, least), terms.max_jitter_ms).draw(random.random())  # noqa: S311 jitter is no secret


def retry_after(request: web.Request, error: SlipstreamError) -> int:
    """The seconds of `Retry-After` (RFC 9110 section 10.2.3): what the error says, or the base, and the jitter.

    A reader waits for the base at least, as it does where the same refusal comes as a stream. A producer does not: it
    has events to get rid of.
    """
    terms = agreed(request)
    least = float(terms.base_ms) if error.retry_after is None else error.retry_after * 1_000
    if request.method in READING:
        least = max(least, terms.base_ms)
    jitter = random.random() * terms.max_jitter_ms  # noqa: S311 jitter is no secret
    return max(1, math.ceil((least + jitter) / 1_000))


def _negotiate(request: web.Request, policy: Retry) -> Terms:
    services = request.app[SERVICES]
    given = _given(request.headers.getall(HEADER, ())) or _given(request.query.getall(PARAMETER, ()))
    wanted = Preferences.parse(given) if given else _NOTHING
    return negotiate(policy, wanted, services.options.retry_ms, len(services.hub.reactor))


def _given(values: Sequence[str]) -> str:
    """As one text (RFC 9110 section 5.3); what is empty is absent."""
    return ", ".join(filter(None, values))
