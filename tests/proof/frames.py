"""Frames exactly as the contract writes them, and nothing else: faster than a browser's rules, and stricter.

Most readers of the proof use this, the others `tests.sse`, which reads as a browser does. Pure.
"""

from tests.sse import Parsed


class FrameError(Exception):
    """The server wrote what the contract does not.

    A CR, a NUL outside data, bad UTF-8, a field unknown or twice, a torn chunk.
    """


class Frames:
    """One connection's frames; interchangeable with `tests.sse.Parser`."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._rest = b""

    def feed(self, block: bytes) -> list[Parsed]:
        """The events that these bytes complete. Raises FrameError."""
        *frames, self._rest = (self._rest + block).split(b"\n\n")
        events: list[Parsed] = []
        for frame in frames:
            try:
                text = frame.decode()
            except UnicodeDecodeError as error:
                raise FrameError(f"not UTF-8: {frame[:200]!r}") from error
            if "\r" in text:
                raise FrameError(f"CR in {text[:200]!r}")
            self._frame(text, events)
        return events

    def _frame(self, text: str, events: list[Parsed]) -> None:
        id_, event, retry = self.last_id, "", None
        data: list[str] = []
        for line in text.split("\n"):
            name, colon, value = line.partition(": ")
            if name == "data" and colon:
                data.append(value)
            elif name == "id" and value and id_ is self.last_id:
                id_ = value
            elif name == "event" and value and not event:
                event = value
            elif name == "retry" and value.isdecimal() and retry is None:
                retry = int(value)
            elif not line.startswith(":"):
                raise FrameError(f"the line {line[:200]!r} in {text[:400]!r}")
        if "\0" in id_ or "\0" in event:
            raise FrameError(f"NUL in the id or the name of {text[:200]!r}")
        if data:
            self.last_id = id_
            events.append(Parsed(id_, event or "message", "\n".join(data), retry))
        elif id_ is not self.last_id or event:
            raise FrameError(f"a frame without data, which Firefox takes no id from: {text[:200]!r}")
