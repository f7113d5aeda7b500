"""The proof's own reader: a socket, a chunked body, the independent event-stream parser, and cuts on purpose."""

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

from tests.proof.book import Book
from tests.proof.checker import Delivery, Gap, History, place
from tests.proof.frames import Frames
from tests.proof.plan import ReaderPlan
from tests.proof.wire import Body, Cut
from tests.servers import HOST
from tests.sse import Parsed, Parser

CONNECT_SECONDS = 5.0
HEAD_SECONDS = 15.0
SILENCE_SECONDS = 40.0
READ_BYTES = 65536
SLOW_BUFFER_BYTES = 16384
STALL_CHANCE = 0.2
STALL_SECONDS = (0.5, 2.5)


@dataclass(slots=True)
class Tally:
    """What happened on all connections of all readers."""

    connects: int = 0
    resumes: int = 0
    cuts: int = 0
    resets: int = 0
    mid_replay: int = 0
    mid_frame: int = 0
    broken: int = 0
    silences: int = 0
    stalls: int = 0
    deliveries: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


class RefusedError(Exception):
    """A refusal that no fault of the run explains."""


class _CutError(Exception):
    """The connection has carried what it was to carry."""


class Reader:
    """Reads until it is told to stop, over the edges in turn.

    history: what the checker will judge. cutting: whether it breaks connections off and stalls by itself.
    flowing: while this event is clear it reads nothing. near: the port of this side of its last connection.
    """

    def __init__(
        self, plan: ReaderPlan, ports: Sequence[int], book: Book, tally: Tally, texts: dict[str, str], seed: int
    ) -> None:
        """texts: one string object for all equal ones, shared by all readers, as each event comes to many of them."""
        self.plan = plan
        self.history = History(plan.name, plan.filters)
        self.cutting = True
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.last_id = ""
        self.last_seq = 0
        self.moment: datetime | None = None
        self._ports = ports
        self._book = book
        self._tally = tally
        self._texts = texts
        self._dice = random.Random(f"{plan.name}/{seed}")
        self._turn = self._dice.randrange(len(ports))
        self._silence = SILENCE_SECONDS
        self.is_ready = False
        self.near = 0
        self._failures = 0

    async def run(self) -> None:
        """Read for ever. Raises RefusedError when an edge refuses for good, or claims a place that cannot be."""
        while True:
            self._failures += 1
            try:
                await self._connection(self._ports[self._turn % len(self._ports)])
            except (OSError, TimeoutError, EOFError):
                self._tally.broken += 1
            # Whether cut or refused: the other edge is next, with the last id.
            self._turn += 1
            await self._wait()

    async def _wait(self) -> None:
        """Before it connects again."""
        await asyncio.sleep(self._dice.uniform(0.01, 0.2) * 2 ** min(self._failures, 3))

    async def _connection(self, port: int) -> None:
        cut = Cut.draw(self._dice) if self.cutting else Cut()
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await self._connect(port)
        self.near = writer.get_extra_info("sockname")[1]
        goal = self._book.highest
        body = Body(cut.octets)
        try:
            writer.write(self._request(port))
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            self._check_head(head)
            self._tally.connects += 1
            body.chunked = b"transfer-encoding: chunked" in head.lower()
            if b"content-encoding: gzip" in head.lower():
                body.inflate()
            await self._events(reader, body, cut)
        except _CutError:
            self._count_cut(cut, body, goal)
            if cut.reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            writer.transport.abort()

    async def _connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.plan.slow:
            return await asyncio.open_connection(HOST, port, limit=READ_BYTES)
        near = socket.socket()
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        try:
            await asyncio.get_running_loop().sock_connect(near, (HOST, port))
            return await asyncio.open_connection(sock=near, limit=SLOW_BUFFER_BYTES)
        except BaseException:
            near.close()
            raise

    async def _events(self, reader: asyncio.StreamReader, body: Body, cut: Cut) -> None:
        parser: Parser | Frames = Parser(self.last_id) if self.plan.browser else Frames(self.last_id)
        left = cut.events or 0
        while not body.ended:
            for event in parser.feed(body.feed(await self._receive(reader))):
                if event.event == "stream.ready" and body.gzip is not self.plan.gzip:
                    raise RefusedError(f"{self.plan.name}: gzip is {body.gzip}, and was asked for: {self.plan.gzip}")
                if not self._take(event):
                    return
                left -= 1
                if left == 0:
                    raise _CutError
            if body.spent:
                raise _CutError
            if self.plan.slow and self.cutting and self._dice.random() < STALL_CHANCE:
                self._tally.stalls += 1
                await asyncio.sleep(self._dice.uniform(*STALL_SECONDS))

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        await self.flowing.wait()
        try:
            async with asyncio.timeout(self._silence):
                block = await reader.read(READ_BYTES)
        except TimeoutError:
            self._tally.silences += 1
            raise
        if not block:
            raise EOFError("the edge closed")
        return block

    def _take(self, event: Parsed) -> bool:
        """Take one event; False when the edge ends the stream by it."""
        match event.event:
            case "stream.ready":
                self._ready(event)
            case "stream.gap":
                reason = str(json.loads(event.data).get("reason"))
                self.history.items.append(Gap(event.id, reason))
            case "stream.drain":
                return False
            case "error":
                document = json.loads(event.data)
                self._tally.refusals[str(document.get("code"))] += 1
                if document.get("retry") is False:
                    raise RefusedError(f"{self.plan.name}: {event.data}")
                return False
            case name if name.startswith("stream."):
                pass
            case name:
                self._tally.deliveries += 1
                data = self._texts.setdefault(event.data, event.data)
                self.history.items.append(Delivery(self._texts.setdefault(event.id, event.id), name, data))
        self.last_id = event.id
        found = place(event.id)
        self.last_seq = max(self.last_seq, found[1] if found else 0)
        return True

    def _ready(self, event: Parsed) -> None:
        self._failures = 0
        self._tally.resumes += bool(self.last_id)
        self._silence = 2.5 * int(json.loads(event.data)["heartbeat_ms"]) / 1000
        where = place(event.id)
        if where is None or where[1] > self._book.started:
            raise RefusedError(f"{self.plan.name}: ready at {event.id!r}, of {self._book.started} events ever sent")
        if not self.is_ready and self.plan.since == "now":
            self.history.start = where[1]
        if not self.is_ready and self.plan.since == "last":
            # Nothing that is stored later can be among the newest ones.
            self.history.newest = self._book.started
        self.is_ready = True

    def _request(self, port: int) -> bytes:
        query = [("topic", one) for one in self.plan.filters]
        if self.plan.since in ("earliest", "last"):
            query.append(("since", self.plan.since))
        elif self.moment is not None:
            query.append(("since", self.moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
        resume = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        coding = "Accept-Encoding: gzip\r\n" if self.plan.gzip else ""
        return (
            f"GET /v1/events?{urlencode(query)} HTTP/1.1\r\nHost: {HOST}:{port}\r\nAccept: text/event-stream\r\n"
            f"X-Tenant-ID: {self.plan.tenant}\r\n{coding}{resume}\r\n"
        ).encode()

    def _check_head(self, head: bytes) -> None:
        status = int(head.split(b" ", 2)[1])
        if status == 200:
            return
        self._tally.refusals[str(status)] += 1
        if status not in (429, 500, 502, 503):
            raise RefusedError(f"{self.plan.name}: {head.decode('latin-1')}")
        raise EOFError(f"status {status}")

    def _count_cut(self, cut: Cut, body: Body, goal: int) -> None:
        self._tally.cuts += 1
        self._tally.resets += cut.reset
        self._tally.mid_frame += not body.at_frame_end
        # Events stored before the connection began were still to come: the log was being replayed to it.
        self._tally.mid_replay += self.last_seq < self._book.last_match(self.plan.filters, goal)
