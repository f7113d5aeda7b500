"""The last event id in a file, so that the next `tail` goes on where this one ended."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from slipstream.protocol.position import Position

_EVERY_SECONDS: Final = 0.2


class Bookmark:
    """One id in one file, replaced whole.

    Written only after its event was shown, and at most five times a second: after a crash the last few events are
    shown again, and none is missed. `settle` makes sure that what the id stands for is safe; it is called before.
    """

    def __init__(self, path: Path, settle: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._settle = settle
        self._saved = ""
        self._due = 0.0

    def load(self) -> str | None:
        """The id in the file; None when there is no file. Raises SlipstreamError when it is no id, or OSError.

        Where there is no directory for it either, that is an OSError: nothing could be kept there.
        """
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            if not self._path.parent.is_dir():
                raise
            return None
        Position.parse(text)
        self._saved = text
        return text

    def save(self, id_: str, now: float) -> None:
        """Keep this id if the last write is long enough ago. now: a monotonic time in seconds. Raises OSError."""
        if now >= self._due:
            self._due = now + _EVERY_SECONDS
            self.flush(id_)

    def flush(self, id_: str) -> None:
        """Keep this id now. Raises OSError."""
        if not id_ or id_ == self._saved:
            return
        self._settle()
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(f"{id_}\n")
                file.flush()
                # Else a power failure can leave an empty file under the right name.
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            raise
        self._saved = id_
