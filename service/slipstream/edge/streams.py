"""What an administrator of a tenant does with its open streams, whichever process holds them: list, end, count.

`<process>.<number>` names a stream and who holds it; a request reaches any process, and is handed on.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from slipstream.edge.answers import answered, done
from slipstream.edge.authorize import ADMIN, Grant, authorize
from slipstream.edge.query import parse_listing
from slipstream.edge.services import SERVICES, Services
from slipstream.edge.sessions import Session, StreamId
from slipstream.edge.trace import trace_of
from slipstream.fanout.connection import Ending
from slipstream.protocol import control
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.peers import Answer, Document

LIST: Final = "streams"
END: Final = "end"
USAGE: Final = "usage"


def answers(services: Services) -> Mapping[str, Answer]:
    """What this process answers other edges, by the kind of the question."""

    async def list_(question: Document) -> Document:
        return await _listed(services, question)

    async def end(question: Document) -> Document:
        return _ended(services, question)

    async def usage(question: Document) -> Document:
        return await _used(services, question["tenant"])

    return {LIST: list_, END: end, USAGE: usage}


async def list_streams(request: web.Request) -> web.StreamResponse:
    """GET /v1/streams: the tenant's open streams on all processes; those that did not answer in a second are named."""
    services = request.app[SERVICES]
    grant = await authorize(request, ADMIN)
    wanted = parse_listing(request.query)
    question = {"tenant": grant.tenant.name, "subject": wanted.subject, "limit": wanted.limit}
    gathered = await services.peers.gather(LIST, question)
    streams = [stream for answer in gathered.answers.values() for stream in answer["streams"]]
    streams.sort(key=lambda stream: (stream["opened_at"], stream["id"]))
    return answered(
        request,
        {
            "streams": streams[: wanted.limit],
            "total": sum(answer["total"] for answer in gathered.answers.values()),
            "processes": sorted(gathered.answers),
            "missing": gathered.missing,
        },
    )


async def end_stream(request: web.Request) -> web.StreamResponse:
    """DELETE /v1/streams/{id}: end one. Its client may come back, unless its token is revoked first."""
    services = request.app[SERVICES]
    grant = await authorize(request, ADMIN)
    stream = stream_in_path(request)
    question = {"tenant": grant.tenant.name, "number": stream.number, "trace_id": trace_of(request).trace_id}
    await ask_holder(services, stream, END, question)
    return done(request)


async def show_usage(request: web.Request) -> web.StreamResponse:
    """GET /v1/usage: what the tenant uses of what it may have, over all processes."""
    services = request.app[SERVICES]
    grant = await authorize(request, ADMIN)
    gathered = await services.peers.gather(USAGE, {"tenant": grant.tenant.name})
    return answered(request, await _usage(services, grant, gathered.answers, gathered.missing))


async def _usage(
    services: Services, grant: Grant, answers: Mapping[str, Document], missing: tuple[str, ...]
) -> dict[str, Any]:
    tenant = grant.tenant
    subjects: Counter[str] = Counter()
    for answer in answers.values():
        subjects.update(answer["subjects"])
    quotas = tenant.spec.quotas
    return {
        "tenant": tenant.name,
        "streams": {
            "open": sum(answer["streams"] for answer in answers.values()),
            "limit": quotas.connections,
            "subjects": len(subjects),
            "per_subject_most": max(subjects.values(), default=0),
            "per_subject_limit": quotas.connections_per_subject,
        },
        "rates": {"connects": quotas.connect_rate, "publishes": quotas.publish_rate},
        "log": await services.log_of(tenant.name),
        "by_process": {process: answer["streams"] for process, answer in answers.items()},
        "processes": sorted(answers),
        "missing": missing,
    }


async def ask_holder(
    services: Services, stream: StreamId, kind: str, question: Document, *, more: float = 0.0
) -> Document:
    """The answer of the process that holds `stream`. Raises NOT_FOUND where nobody does, or for another tenant's."""
    try:
        return await services.peers.ask(stream.process, kind, question, more=more)
    except SlipstreamError as error:
        if error.code is Code.NOT_FOUND:
            # One answer, whether it has ended, was never there, or is another tenant's.
            raise _unknown() from error
        raise


async def _listed(services: Services, question: Document) -> Document:
    tenant, subject, limit = question["tenant"], question["subject"], question["limit"]
    shown, total = [], 0
    async for session in services.sessions.walk_of(tenant):
        if subject is None or _subject(session) == subject:
            total += 1
            if total <= limit:
                shown.append(_shown(services, session))
    return {"streams": shown, "total": total}


def _shown(services: Services, session: Session) -> dict[str, Any]:
    token = session.token
    return {
        "id": f"{services.process}.{session.number}",
        "subject": _subject(session),
        "token_id": None if token is None else token.id,
        "topics": session.filters.texts,
        "address": session.address,
        "opened_at": session.opened_at,
        "expires_at": None if token is None else token.expires_at,
        "state": session.connection.state.value,
    }


def _ended(services: Services, question: Document) -> Document:
    session = session_of(services, question)
    message = "an administrator of the tenant ended this stream"
    final = control.error(Code.FORBIDDEN, message, False, question["trace_id"])
    services.hub.reactor.close(session.connection, Ending.ADMIN, final)
    return {}


async def _used(services: Services, tenant: str) -> Document:
    streams = 0
    subjects: Counter[str] = Counter()
    async for session in services.sessions.walk_of(tenant):
        streams += 1
        if session.token is not None:
            subjects[_short(session.token.subject)] += 1
    return {"streams": streams, "subjects": subjects}


def _short(subject: str) -> str:
    """Eight characters for any subject: those of 60,000 streams fit into one message of NATS (1 MiB)."""
    return base64.b64encode(hashlib.blake2b(subject.encode(), digest_size=6).digest()).decode()


def session_of(services: Services, question: Document) -> Session:
    """The open stream of this process that a question is about. Raises NOT_FOUND."""
    session = services.sessions.get(question["number"])
    if session is None or session.tenant != question["tenant"]:
        raise _unknown()
    return session


def stream_in_path(request: web.Request) -> StreamId:
    """The stream that the request is about. Raises NOT_FOUND for what is no stream id."""
    stream = StreamId.parse(request.match_info["id"])
    if stream is None:
        raise _unknown()
    return stream


def _unknown() -> SlipstreamError:
    return SlipstreamError(
        Code.NOT_FOUND,
        "there is no such open stream: its id is in stream.ready",
        fix="Take the id of a stream that is open; if yours has ended, open a new one with the last event id.",
    )


def _subject(session: Session) -> str | None:
    return None if session.token is None else session.token.subject
