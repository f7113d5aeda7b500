"""When to connect again: the server's `retry` and `Retry-After` are floors, exponential full jitter comes on top.

Pure: the random roll (0 <= roll < 1) is an argument. The standard (WHATWG HTML section 9.2.3) asks for at least the
reconnection time and allows to wait longer; full jitter keeps a crowd that lost the same pod from coming back at once.
"""

from typing import Final

DEFAULT_RETRY_MS: Final = 1000
"""Until the server says one, in ms."""

MAX_FLOOR_SECONDS: Final = 3600.0
"""The longest wait that a server's word is obeyed for: a slip of units must not end a client for a year."""


class Reconnect:
    """The reconnect state of one stream. Times in seconds, but for `retry_ms`, which is the server's word.

    attempt: failures since the last success.
    """

    __slots__ = ("attempt", "base", "cap", "retry_ms")

    def __init__(self, base: float = 0.25, cap: float = 30.0, retry_ms: int = DEFAULT_RETRY_MS) -> None:
        self.base = base
        self.cap = cap
        self.retry_ms = retry_ms
        self.attempt = 0

    def ended(self) -> float:
        """The delay after an open stream ended: the server's time alone, which it has spread out already."""
        return min(MAX_FLOOR_SECONDS, self.retry_ms / 1000)

    def failed(self, roll: float, retry_after: float | None = None) -> float:
        """The delay after a failure: a floor, and a full jitter of up to `base * 2**attempt`, at most `cap`.

        retry_after: the floor the server gave with a refusal, in place of its `retry`.
        """
        jitter = roll * min(self.cap, self.base * (1 << min(self.attempt, 30)))
        self.attempt += 1
        return jitter + (self.ended() if retry_after is None else min(MAX_FLOOR_SECONDS, retry_after))

    def succeeded(self) -> None:
        """A stream is open: the next failure is a first one again."""
        self.attempt = 0
