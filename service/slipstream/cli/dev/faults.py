"""What ends `slipstream dev`, told without a traceback."""

from collections.abc import Sequence


class DevError(Exception):
    """The cluster cannot start. The message says what to do; `lines` is the end of the log of the part that failed."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)
