"""An event-stream reader written from WHATWG HTML 9.2.5 and 9.2.6 alone: the judge of what Slipstream sends.

It imports nothing of Slipstream and shares no code with it. Bytes go in as they arrive, events come out.
"""

import codecs
import re
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Parsed:
    """One dispatched event.

    id: the last event id at that moment, which an earlier event may have set.
    event: its type, `message` when the stream names none.
    retry: the reconnection time in ms then in force, None before the stream gave one.
    """

    id: str
    event: str
    data: str
    retry: int | None


class Parser:
    """One connection's stream. For the next connection make a new one with this one's `last_id` and `retry`.

    last_id: the last event id string, as a browser would send it on reconnecting.
    retry: the reconnection time in ms, None before the stream gave one.
    comments: the text behind the colon of every comment so far.
    """

    def __init__(self, last_id: str = "", retry: int | None = None) -> None:
        self.last_id = last_id
        self.retry = retry
        self.comments: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._line: list[str] = []
        self._id = last_id
        self._data: list[str] = []
        self._type = ""
        self._dispatched: list[Parsed] = []

    def feed(self, block: bytes) -> list[Parsed]:
        """The events that these bytes complete; a slice may end anywhere, inside a character or a CRLF too."""
        self._take(self._decoder.decode(block))
        return self._hand_out()

    def close(self) -> list[Parsed]:
        """The end of the stream: what has no blank line behind it is discarded. Always answers no event."""
        self._take(self._decoder.decode(b"", final=True))
        self._line.clear()
        self._data.clear()
        self._type = ""
        return self._hand_out()

    def _hand_out(self) -> list[Parsed]:
        dispatched, self._dispatched = self._dispatched, []
        return dispatched

    def _take(self, text: str) -> None:
        if not text:
            return
        if self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        begin = 0
        for end in _LINE_END.finditer(text):
            self._line.append(text[begin : end.start()])
            begin = end.end()
            line = "".join(self._line)
            self._line.clear()
            self._interpret(line)
        # A CR ends its line at once. Should an LF follow in the next slice, it belongs to the same line end.
        self._after_cr = text.endswith("\r") or (self._after_cr and not text)
        if begin < len(text):
            self._line.append(text[begin:])

    def _interpret(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        if line.startswith(":"):
            self.comments.append(line[1:])
            return
        field, _, value = line.partition(":")
        self._process(field, value.removeprefix(" "))

    def _process(self, field: str, value: str) -> None:
        if field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            if "\0" not in value:
                self._id = value
        elif field == "retry" and _DIGITS.fullmatch(value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_id = self._id
        # The specification's data buffer gets each value and an LF, so one empty `data` line does dispatch.
        if self._data:
            event = Parsed(self.last_id, self._type or "message", "\n".join(self._data), self.retry)
            self._dispatched.append(event)
        self._data.clear()
        self._type = ""
