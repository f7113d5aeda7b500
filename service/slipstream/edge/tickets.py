"""POST /v1/tickets: a ticket, for a page whose EventSource cannot send its token in a header."""

from __future__ import annotations

import secrets
import time

from aiohttp import web

from slipstream.auth.ticket import ID_BYTES, LIFE, day_of, seal
from slipstream.edge.answers import answered
from slipstream.edge.authorize import CREDENTIAL, SUBSCRIBE, authorize
from slipstream.edge.cookie import check_value
from slipstream.edge.redeem import TICKET_PARAMETER
from slipstream.edge.retry import agree
from slipstream.edge.services import SERVICES
from slipstream.protocol.errors import Code, SlipstreamError

TICKETS_PATH = "/v1/tickets"


async def issue_ticket(request: web.Request) -> web.StreamResponse:
    """A ticket for the token that came with the request; what the token allows is decided when it is spent."""
    services = request.app[SERVICES]
    if services.options.open:
        raise SlipstreamError(Code.BAD_REQUEST, "tickets are of no use here: nobody has to prove anything")
    grant = await authorize(request, SUBSCRIBE)
    agree(request, grant.tenant)
    if grant.token is None:
        raise SlipstreamError(Code.INTERNAL, "a request was let in without a token")
    text, now = request[CREDENTIAL], time.time()
    check_value(text)
    key = await services.tickets.key(day_of(now))
    ticket = seal(key, secrets.token_bytes(ID_BYTES), text, grant.token.expires_at, now)
    return answered(request, {"ticket": ticket, "expires_at": int(now) + LIFE, "parameter": TICKET_PARAMETER})
