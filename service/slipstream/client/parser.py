"""Event streams from bytes, as a browser reads them (WHATWG HTML section 9.2.6)."""

import re
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Bound of one event, its unfinished line included; 64 times the largest event Slipstream sends by default."""

_BOM: Final = b"\xef\xbb\xbf"
_DIGITS: Final = re.compile("[0-9]{1,15}")


class Message(NamedTuple):
    """One dispatched event.

    id: the last event id when it was dispatched: sticky, as in a browser, so an event without an id has the one before.
    event: its name; `message` when the stream gave none.
    data: its data lines joined by LF.
    retry: the reconnection time in ms when this very event carried one.
    """

    id: str
    event: str
    data: str
    retry: int | None = None


class Parser:
    """Turns chunks of bytes, cut anywhere, into messages.

    last_event_id: what a reconnect has to send. It also moves without an event, when a block has only an id.
    retry: the reconnection time in ms last given by the stream, None before.
    """

    def __init__(self, last_event_id: str = "", max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._max = max_event_bytes
        self._rest = bytearray()
        self._size = 0
        self._started = False
        self._skip_lf = False
        self._id = last_event_id
        self._event = ""
        self._data: list[str] = []
        self._block_retry: int | None = None

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that these bytes complete.

        Raises ValueError when one event, or one line, passes `max_event_bytes`: the parser is of no use then.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        messages: list[Message] = []
        if b"\n" in chunk or b"\r" in chunk:
            lines = (bytes(self._rest) + chunk).splitlines(keepends=True)
            self._rest.clear()
            if not lines[-1].endswith((b"\n", b"\r")):
                self._rest += lines.pop()
            # The LF of a CRLF may be the first byte of the next chunk.
            self._skip_lf = not self._rest and lines[-1].endswith(b"\r")
            for line in lines:
                self._line(line.rstrip(b"\r\n"), messages)
        else:
            self._rest += chunk
        if self._size + len(self._rest) > self._max:
            raise ValueError(f"an event of more than {self._max} bytes: this is no event stream, or raise the bound")
        return messages

    def _line(self, line: bytes, messages: list[Message]) -> None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(messages)
            return
        self._size += len(line)
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode(errors="replace")
        match name:
            case b"data":
                self._data.append(text)
            case b"event":
                self._event = text
            case b"id":
                if "\0" not in text:
                    self._id = text
            case b"retry":
                if _DIGITS.fullmatch(text):
                    self.retry = self._block_retry = int(text)
            case _:  # A comment, or a field that the standard says to ignore.
                pass

    def _dispatch(self, messages: list[Message]) -> None:
        self.last_event_id = self._id
        if self._data:  # One empty data line counts: the standard looks at the buffer before it takes the last LF away.
            messages.append(Message(self._id, self._event or "message", "\n".join(self._data), self._block_retry))
            self._data = []
        self._event = ""
        self._block_retry = None
        self._size = 0
