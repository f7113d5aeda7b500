"""Frames of an event stream (WHATWG HTML section 9.2) and the chunks that carry them (RFC 9112 section 7.1)."""

from typing import Final

LAST_CHUNK: Final = b"0\r\n\r\n"
"""Ends a chunked body; no trailer."""

# As integers: to look for bytes in bytes takes several times as long.
_CR: Final = 13
_LF: Final = 10


def encode(id: str, event: str, data: bytes) -> bytes:  # noqa: A002 - the field's name
    """One event as a frame; called once per event and audience, so it is written for speed.

    id, event: "" leaves the line out: the id then stays what it was, the name is `message`.
    data: UTF-8. CRLF, CR and LF each start a new `data:` line, so a reader gets LF for all three; no other character
        does (VT, FF, NEL and U+2028 stay, as browsers leave them). There is always a data line: a frame without one
        dispatches nothing (section 9.2.6).

    Raises ValueError on CR, LF or NUL in id or event: the first two would let a producer write fields of its own
    (CWE-93), and a NUL in an id makes browsers ignore it (section 9.2.6) or lose the event (Firefox, measured).
    """
    if _LF in data or _CR in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    if not (id.isprintable() and event.isprintable()):
        _refuse_breaks(id)
        _refuse_breaks(event)
    if event:
        head = f"id: {id}\nevent: {event}\ndata: " if id else f"event: {event}\ndata: "
    else:
        head = f"id: {id}\ndata: " if id else "data: "
    return b"".join((head.encode(), data, b"\n\n"))


def comment(text: str = "") -> bytes:
    """A line that readers ignore: the heartbeat that keeps proxies from closing. Raises ValueError on CR, LF, NUL."""
    _refuse_breaks(text)
    return f": {text}\n\n".encode() if text else b":\n\n"


def retry(ms: int) -> bytes:
    """How long a reader should wait before it connects again.

    Raises ValueError below 1: with 0 Chromium connects again in a hot loop (measured).
    """
    return retry_line(ms) + b"\n"


def retry_line(ms: int) -> bytes:
    """The `retry` field alone, to stand at the head of a frame. Raises ValueError below 1."""
    if ms < 1:
        raise ValueError(f"a retry time is at least 1 ms, not {ms}")
    return b"retry: %d\n" % ms


def chunk(block: bytes) -> bytes:
    """One chunk of a chunked body. Raises ValueError when it is empty: that would end the body."""
    if not block:
        raise ValueError("an empty chunk ends the body: use LAST_CHUNK to end it")
    return b"%x\r\n%b\r\n" % (len(block), block)


def _refuse_breaks(text: str) -> None:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"CR, LF and NUL cannot be in an id, a name or a comment: {text[:200]!r}")
