"""The work of a tail: each message printed, saved and remembered, in that order, until there is a reason to end."""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from slipstream.cli.tail.advice import gap_line
from slipstream.cli.tail.bookmark import Bookmark
from slipstream.cli.tail.match import Wanted
from slipstream.cli.tail.save import Save
from slipstream.cli.tail.show import GAP, Envelope, Form, document, line
from slipstream.client import Message, Stream
from slipstream.client.order import is_control


class Ended(Enum):
    """Why a tail ended without a fault."""

    COUNT = "count"
    TIME = "time"
    SIGNAL = "signal"


class Job(NamedTuple):
    """What a tail does with what comes.

    topic: of all events, where there can be only one. envelope: whether data is a CloudEvent. most, seconds: after how
    many events, and when, to end; None for never.
    """

    form: Form
    wanted: Wanted = Wanted()
    topic: str | None = None
    envelope: bool = False
    save: Save | None = None
    bookmark: Bookmark | None = None
    most: int | None = None
    seconds: float | None = None


class Unwritable(Exception):
    """What was to be kept cannot be; the message says what to do."""


class Tail:
    """Follows one stream.

    shown: events that were printed. place: the id after which nothing was printed or saved yet; the bookmark is never
    ahead of it.
    """

    def __init__(self, stream: Stream, job: Job) -> None:
        self._stream = stream
        self._job = job
        self._colour = sys.stdout.isatty()
        self.shown = 0
        self.place = stream.last_event_id

    async def run(self) -> Ended:
        """Until there were enough events, or the time is up. Raises what the stream raises, OSError, Unwritable."""
        try:
            async with asyncio.timeout(self._job.seconds), self._stream:
                async for message in self._stream:
                    self._take(message)
                    if self._job.most is not None and self.shown >= self._job.most:
                        return Ended.COUNT
        except TimeoutError:
            return Ended.TIME
        return Ended.SIGNAL

    def remember(self) -> None:
        """Keep the place now. Raises Unwritable."""
        if self._job.bookmark is not None:
            _keep("--bookmark", self._job.bookmark.flush, self.place)

    def _take(self, message: Message) -> None:
        if message.event == GAP:
            self._tell_gap(message)
        elif not is_control(message.event):
            self._show(message)
        self.place = message.id
        if self._job.bookmark is not None:
            _keep("--bookmark", self._job.bookmark.save, self.place, time.monotonic())

    def _tell_gap(self, message: Message) -> None:
        """On stderr, and into whatever a program reads: a record without its losses is a false one."""
        told = gap_line(message.data)
        sys.stderr.write((f"\x1b[1;37;41m {told} \x1b[0m" if sys.stderr.isatty() else f"!!! {told}") + "\n")
        text = document(message, _now())
        if self._job.form is Form.json:
            _print(text)
        self._save(text)

    def _show(self, message: Message) -> None:
        job = self._job
        opened = Envelope.open(message.data) if job.envelope else Envelope(None, None, message.data)
        if not job.wanted.matches(message.event, opened.data):
            return
        topic = opened.topic or job.topic
        text = document(message, _now(), topic, opened.time)
        match job.form:
            case Form.raw:
                _print(message.data)
            case Form.json:
                _print(text)
            case Form.text:
                clock = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
                _print(line(message._replace(data=opened.data), clock, topic, colour=self._colour))
        self._save(text)
        self.shown += 1

    def _save(self, text: str) -> None:
        if self._job.save is not None:
            _keep("--save", self._job.save.append, text)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _keep(option: str, write: Callable[..., None], *what: object) -> None:
    try:
        write(*what)
    except OSError as error:
        raise Unwritable(f"{option} cannot be written ({error}): free some space, or give another file") from error
