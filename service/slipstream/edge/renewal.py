"""POST /v1/streams/{id}/token: a stream that goes on by a newer token, without a new connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Final

from aiohttp import web

from slipstream.auth.claims import Token
from slipstream.edge.answers import answered
from slipstream.edge.authorize import (
    SUBSCRIBE,
    authorize,
    bearer,
    check_permitted,
    check_still_good,
    forbidden,
    tenant_named,
)
from slipstream.edge.cookie import KEPT, Kept, check_value, comes_with_cookie
from slipstream.edge.jwks_client import FETCH_SECONDS
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.sessions import Session
from slipstream.edge.streams import ask_holder, session_of, stream_in_path
from slipstream.edge.subscribe import lifetime_of
from slipstream.edge.trace import trace_of
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.peers import Answer, Document

RENEW: Final = "renew"

_numbers = count(1)


def answers(services: Services) -> Mapping[str, Answer]:
    """What this process answers other edges, by the kind of the question."""

    async def renew(question: Document) -> Document:
        return await _renew(services, question)

    return {RENEW: renew}


async def renew_stream(request: web.Request) -> web.StreamResponse:
    """The stream's end is now that of the token that came with this request.

    Raises FORBIDDEN where it does not cover what the stream reads, NOT_FOUND where there is no such stream of its
    tenant. The process that holds the stream checks the token again: what it hears from another is not enough for it.
    A browser that came with the cookie comes back with the newer token, too.
    """
    services = request.app[SERVICES]
    grant = await authorize(request, SUBSCRIBE)
    text = bearer(request)
    if text is None or grant.token is None:
        # A cookie is what the stream came with, and the same for all streams of a browser.
        raise SlipstreamError(Code.UNAUTHORIZED, "send the new token: Authorization: Bearer TOKEN")
    returns = comes_with_cookie(request, grant.token)
    if returns:
        check_value(text)
    question = {
        "tenant": grant.tenant.name,
        "number": (stream := stream_in_path(request)).number,
        "token": text,
        "trace_id": trace_of(request).trace_id,
    }
    # Whoever holds the stream may have to read the issuer's keys, and waits for the authorizer as the tenant says.
    authorizer = grant.tenant.spec.authorizer
    more = FETCH_SECONDS + (0.0 if authorizer is None else authorizer.timeout)
    renewed = await ask_holder(services, stream, RENEW, question, more=more)
    if returns:
        request[KEPT] = Kept(text, grant.token.expires_at)
    return answered(request, renewed)


async def _renew(services: Services, question: Document) -> Document:
    number = next(_numbers)
    token = await services.verifier.verify(question["token"], time.time())
    session = _covered(services, question, token)
    tenant = tenant_named(services, token.tenant)
    await check_permitted(services, tenant, token, question["token"], SUBSCRIBE, session.filters.texts)
    # The authorizer may have taken its time; behind these lines nothing is awaited.
    check_still_good(services, token)
    session = _covered(services, question, token)
    if session.renewal > number and session.token is not None:
        # Who asked later was answered sooner: the older token must not take the stream back to its own end.
        token = session.token
    else:
        session.token, session.renewal = token, number
        services.hub.renew(session.connection, lifetime_of(token, question["trace_id"]))
    return {"stream": f"{services.process}.{session.number}", "expires_at": token.expires_at}


def _covered(services: Services, question: Document, token: Token) -> Session:
    """The stream, where it may go on by this token. Raises NOT_FOUND or FORBIDDEN."""
    session = session_of(services, question)
    if not _covers(token, session):
        raise forbidden()
    return session


def _covers(new: Token, session: Session) -> bool:
    """Whether the stream may go on by this token: the same reader's, for all that it reads, and as it sees it."""
    old = session.token
    return (
        old is not None
        and (new.tenant, new.subject) == (old.tenant, old.subject)
        and session.view.look.scopes <= new.scopes
        and session.filters.covered_by(new.subscribe)
    )
