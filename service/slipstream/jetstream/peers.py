"""What edges ask one another, over core NATS: `slipstream.edge.<process>.<kind>` is one, `slipstream.edges.<kind>` all.

A question has its tenant and trace id in headers, an answer is a JSON object, `{"process", "answer"}` or
`{"process", "error"}`. Only edges may use these subjects where NATS has users (`permissions.edge`), so whoever asks is
believed to have checked who asked it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.api import Api, ApiError
from slipstream.jetstream.client import Client, parse_headers
from slipstream.jetstream.subjects import ALL_EDGES, ONE_EDGE
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.resilience.context import TENANT, TRACE_ID
from slipstream.resilience.peers import Answer, Document, Gathered

_logger = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 1.0
_UNDER_WAY: Final = 256
"""Questions that are answered at once. A tenant may have as many as it leaves free: what its authorizer holds up must
not keep the others from being answered (as `edge.inflight` does with bodies). Who asks more is told so at once: silence
would look like a NATS that does not answer."""

_BUSY_SECONDS: Final = 2.0
_TICK: Final = 0.5
_TENANT: Final = "Sse-Tenant"
_TRACE_ID: Final = "Sse-Trace-Id"


class Peers:
    """All edges of a cluster. `run` answers the others for ever; `living` names the processes that are alive."""

    def __init__(self, api: Api, process: str, living: Callable[[], frozenset[str]]) -> None:
        self._api = api
        self._process = process
        self._living = living
        self._answers: dict[str, Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked_for: Counter[str | None] = Counter()
        self._woken = asyncio.Event()

    def on(self, kind: str, answer: Answer) -> None:
        """From now on `answer` answers questions of this kind."""
        self._answers[kind] = answer

    async def ask(self, process: str, kind: str, question: Document, *, more: float = 0.0) -> Document:
        """The answer of one edge. more: seconds that it may need besides.

        Raises what it raised, NOT_FOUND where there is no such process, UPSTREAM_UNAVAILABLE where none can be told.
        """
        if process == self._process:
            return await self._answer(kind, question)
        try:
            raw = await self._api.request(f"{ONE_EDGE}.{process}.{kind}", orjson.dumps(question), _whose(), more=more)
        except ApiError as error:
            # Nobody listens to its subject: the process is gone, and its streams with it.
            raise SlipstreamError(Code.NOT_FOUND, f"there is no process {process}") from error
        return _read(raw)[1]

    async def gather(self, kind: str, question: Document) -> Gathered:
        """The answers of all, complete after a second at the latest; without NATS only our own."""
        answers: dict[str, Document] = {self._process: await self._answer(kind, question)}
        missing = set(self._living()) - answers.keys()
        if not missing:
            return Gathered(answers, ())
        done = asyncio.Event()

        def take(subject: str, reply: str, data: bytes, raw: bytes) -> None:
            del subject, reply, raw
            try:
                process, answer = _read(data)
            except SlipstreamError as error:
                _logger.warning("an edge could not answer about %s: %s", kind, error)
                return
            answers.setdefault(process, answer)
            missing.discard(process)
            if not missing:
                done.set()

        try:
            client = self._api.link.client
            inbox = client.new_inbox()
            subscription = await client.tap(inbox, take)
            try:
                await client.publish(f"{ALL_EDGES}.{kind}", orjson.dumps(question), reply=inbox, headers=_whose())
                async with asyncio.timeout(_GATHER_SECONDS):
                    await done.wait()
            finally:
                await client.untap(subscription)
        except TimeoutError:
            pass  # whoever is missing is named
        except (SlipstreamError, OSError, nats_errors.Error) as error:
            _logger.warning("the other edges cannot be asked about %s: %s", kind, error)
        return Gathered(answers, tuple(sorted(missing)))

    async def run(self) -> None:
        """Answer what others ask, until cancelled; on every connection that follows a broken one, too."""
        forget = self._api.link.on_restored(self._woken.set)
        heard: Client | None = None
        try:
            while True:
                self._woken.clear()
                client = self._api.link.client
                if client is not heard and client.is_connected:
                    try:
                        await client.tap(f"{ONE_EDGE}.{self._process}.*", self._take)
                        await client.tap(f"{ALL_EDGES}.*", self._take)
                        heard = client
                    except (OSError, nats_errors.Error) as error:
                        _logger.warning("other edges cannot ask this one yet: %s", error)
                await self._pause()
        finally:
            forget()
            for task in self._tasks:
                task.cancel()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_TICK):
                await self._woken.wait()
        except TimeoutError:
            return

    def _take(self, subject: str, reply: str, data: bytes, raw: bytes) -> None:
        kind = subject.rpartition(".")[2]
        if not reply:
            return
        headers = parse_headers(raw)
        tenant = headers.get(_TENANT)
        under_way = self._asked_for.total()
        if self._asked_for[tenant] >= _UNDER_WAY - under_way:
            _logger.debug("%d questions of other edges are under way: another about %s is refused", under_way, kind)
            self._begin(self._send(kind, reply, {"process": self._process, "error": _told(_busy())}), kind)
            return
        self._asked_for[tenant] += 1
        task = self._begin(self._serve(kind, reply, data, headers), kind)
        task.add_done_callback(lambda _: self._answered(tenant))

    def _begin(self, work: Coroutine[Any, Any, None], kind: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"peer-{kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _answered(self, tenant: str | None) -> None:
        self._asked_for[tenant] -= 1
        if not self._asked_for[tenant]:
            del self._asked_for[tenant]

    async def _serve(self, kind: str, reply: str, data: bytes, headers: dict[str, str]) -> None:
        # What this process logs of it says whose request it was, as the asker's log does.
        TENANT.set(headers.get(_TENANT))
        TRACE_ID.set(headers.get(_TRACE_ID))
        document: Document
        try:
            document = {"process": self._process, "answer": await self._answer(kind, orjson.loads(data))}
        except SlipstreamError as error:
            document = {"process": self._process, "error": _told(error)}
        except Exception:
            _logger.exception("a question of another edge about %s failed", kind)
            failed = SlipstreamError(Code.INTERNAL, "another process failed; its log says how")
            document = {"process": self._process, "error": _told(failed)}
        await self._send(kind, reply, document)

    async def _send(self, kind: str, reply: str, document: Document) -> None:
        try:
            await self._api.link.client.publish(reply, orjson.dumps(document))
        except (SlipstreamError, OSError, nats_errors.Error) as error:
            _logger.warning("an answer to another edge about %s could not be sent: %s", kind, error)

    async def _answer(self, kind: str, question: Document) -> Document:
        answer = self._answers.get(kind)
        if answer is None:
            # An older version than the asker's.
            raise SlipstreamError(Code.NOT_FOUND, f"this process knows nothing of {kind}")
        return await answer(question)


def _whose() -> dict[str, str]:
    """The request that a question is asked for, as headers."""
    known = ((_TENANT, TENANT.get()), (_TRACE_ID, TRACE_ID.get()))
    return {name: value for name, value in known if value is not None}


def _busy() -> SlipstreamError:
    return SlipstreamError(
        Code.OVERLOADED, "the process that holds this is busy with questions: try again", retry_after=_BUSY_SECONDS
    )


def _told(error: SlipstreamError) -> Document:
    return {
        "code": error.code.value,
        "message": error.message,
        "status": error.status,
        "fix": error.fix,
        "retry_after": error.retry_after,
    }


def _untold(error: Document) -> SlipstreamError:
    """What `_told` made. Raises ValueError, KeyError or TypeError for anything else."""
    status, fix, retry_after = error["status"], error.get("fix"), error["retry_after"]
    if type(status) is not int or not isinstance(fix, str | None) or not isinstance(retry_after, int | float | None):
        raise TypeError("status and retry_after are numbers, fix is a text")
    return SlipstreamError(Code(error["code"]), str(error["message"]), status=status, fix=fix, retry_after=retry_after)


def _read(raw: bytes) -> tuple[str, Document]:
    """The process and its answer. Raises the error that it answered with."""
    try:
        document = orjson.loads(raw)
        process, error = str(document["process"]), document.get("error")
        if error is None:
            return process, dict(document["answer"])
        found = _untold(error)
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise SlipstreamError(Code.INTERNAL, "another process answered what nobody understands") from failure
    raise found
