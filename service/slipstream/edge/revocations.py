"""/v1/revocations: an administrator of a tenant refuses tokens that are good, lists what is refused, takes it back."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from slipstream.auth.claims import TEXT_MAX
from slipstream.auth.revocations import REASON_MAX, Kind, Revocation, hash_of
from slipstream.edge.answers import answered, done
from slipstream.edge.authorize import ADMIN, authorize, confirm
from slipstream.edge.body import read_body
from slipstream.edge.services import SERVICES
from slipstream.edge.trace import trace_of
from slipstream.protocol.errors import Code, SlipstreamError, quoted

_logger = logging.getLogger(__name__)

REVOCATIONS_PATH: Final = "/v1/revocations"

MOST: Final = 10_000
"""Subjects and tokens that one tenant may have revoked: every process keeps them all."""

_LISTED: Final = 1_000
_BODY_BYTES: Final = 16 * 1024
_WAYS: Final = {"subject": Kind.SUBJECT, "token_id": Kind.TOKEN, "tenant": Kind.TENANT}
_HOW: Final = 'send one of {"subject": "..."}, {"token_id": "..."} and {"tenant": true}, and a "reason" if you like'


class Wanted(NamedTuple):
    """What a body asks to revoke."""

    kind: Kind
    name: str
    reason: str


async def revoke(request: web.Request) -> web.StreamResponse:
    """POST: answered once it is written for all processes; each hears of it in its own time, some ms later."""
    services = request.app[SERVICES]
    grant = await authorize(request, ADMIN)
    tenant = grant.tenant.name
    if request.content_type != "application/json":
        # No form of a page can send it: see Cookies and other sites in docs/security.md.
        raise SlipstreamError(Code.BAD_REQUEST, "send JSON, with Content-Type: application/json", status=415)
    wanted = read_wanted(await read_body(request, _BODY_BYTES, services.options.body_deadline), tenant)
    # The body may have taken its time.
    confirm(request, grant)
    revocation = Revocation.of(tenant, wanted.kind, wanted.name, time.time(), wanted.reason)
    known = services.revocations
    if wanted.kind is not Kind.TENANT and known.count(tenant) >= MOST and known.get(revocation.key) is None:
        raise SlipstreamError(
            Code.QUOTA_EXCEEDED,
            f"the tenant has {MOST} revocations: take some back, or revoke the whole tenant, and give new tokens",
        )
    written = await services.ledger.put(revocation)
    _tell("revoked", written, request)
    return answered(request, written.document())


async def list_revocations(request: web.Request) -> web.StreamResponse:
    """GET: the newest of the tenant's."""
    services = request.app[SERVICES]
    tenant = (await authorize(request, ADMIN)).tenant.name
    found = services.revocations.newest(tenant, _LISTED)
    total = services.revocations.count(tenant)
    return answered(request, {"revocations": [one.document() for one in found], "total": total})


async def take_back(request: web.Request) -> web.StreamResponse:
    """DELETE: by its kind, and its name or the name's hash."""
    services = request.app[SERVICES]
    tenant = (await authorize(request, ADMIN)).tenant.name
    removed = await services.ledger.remove(tenant, _kind(request.match_info["kind"]), request.match_info["name"])
    if removed is None:
        raise SlipstreamError(
            Code.NOT_FOUND,
            f"there is no such revocation: GET {REVOCATIONS_PATH} lists them",
            fix="Take a name, or its hash, from the list.",
        )
    _tell("no longer revoked", removed, request)
    return done(request)


def read_wanted(body: bytes, tenant: str) -> Wanted:
    """What a body asks for. Raises BAD_REQUEST."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SlipstreamError(Code.BAD_REQUEST, f"the body is not JSON ({error}): {_HOW}") from error
    if not isinstance(document, dict):
        raise SlipstreamError(Code.BAD_REQUEST, _HOW)
    reason = document.pop("reason", "")
    if not isinstance(reason, str) or len(reason) > REASON_MAX or not reason.isprintable():
        raise SlipstreamError(Code.BAD_REQUEST, f"reason is a line of at most {REASON_MAX} characters")
    if len(document) != 1 or (way := next(iter(document))) not in _WAYS:
        raise SlipstreamError(Code.BAD_REQUEST, _HOW)
    return Wanted(_WAYS[way], _name(way, document[way], tenant), reason)


def _name(way: str, value: Any, tenant: str) -> str:
    if way == "tenant":
        if value is not True:
            raise SlipstreamError(Code.BAD_REQUEST, "tenant is true, and means your own")
        return tenant
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise SlipstreamError(Code.BAD_REQUEST, f"{way} is a string of 1 to {TEXT_MAX} characters")
    return value


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError as error:
        kinds = ", ".join(kind.value for kind in Kind)
        raise SlipstreamError(Code.BAD_REQUEST, f"the kind is one of {kinds}, not {quoted(text)}") from error


def _tell(what: str, revocation: Revocation, request: web.Request) -> None:
    # By its hash: a subject is part of a token, and none of that is ever logged.
    _logger.info(
        "%s %s of tenant %s is %s (reason %r, trace %s)",
        revocation.kind.value,
        hash_of(revocation.name),
        revocation.tenant,
        what,
        revocation.reason,
        trace_of(request).trace_id,
    )
