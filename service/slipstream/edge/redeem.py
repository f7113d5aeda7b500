"""A ticket in the URL of a read: opened, spent, and the token that was in it."""

from __future__ import annotations

import time
from typing import Final

from aiohttp import web

from slipstream.auth.ticket import Sealed
from slipstream.auth.verify import peek
from slipstream.edge.cookie import KEPT, Kept
from slipstream.edge.services import SERVICES
from slipstream.protocol.errors import Code, SlipstreamError

TICKET_PARAMETER: Final = "ticket"


def ticket_in_url(request: web.Request) -> str:
    """The parameter, empty where it is not there. Raises BAD_REQUEST for two."""
    given = request.query.getall(TICKET_PARAMETER, ())
    if len(given) > 1:
        raise SlipstreamError(Code.BAD_REQUEST, f"the parameter {TICKET_PARAMETER} is repeated: send it once")
    return given[0] if given else ""


async def redeem(request: web.Request, text: str) -> str | None:
    """The token of a ticket that was not used before; None for any other ticket, as nobody needs to know why.

    What is no ticket or too old asks nobody. Raises UPSTREAM_UNAVAILABLE when the other processes cannot be asked,
    QUOTA_EXCEEDED when the tenant's tickets come too fast.
    """
    services, now = request.app[SERVICES], time.time()
    tickets = services.tickets
    try:
        sealed = Sealed.parse(text, now)
        ticket = sealed.open(await tickets.key(sealed.day), now)
        tenant = services.registry.get(peek(ticket.token).tenant)
    except SlipstreamError as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
        return None
    if tenant is not None:
        services.admission.redeem(tenant)
    if not await tickets.spend(ticket.id):
        return None
    # Its URL lets nobody in again, but the browser comes back to it.
    request[KEPT] = Kept(ticket.token, ticket.expires_at)
    return ticket.token
