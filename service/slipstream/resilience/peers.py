"""The port between a process and the others of its kind: questions to one by name, or to all at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

Document = dict[str, Any]
"""What is asked and answered: whatever JSON can say."""

Answer = Callable[[Document], Awaitable[Document]]
"""Answers a question of another process. Raises SlipstreamError, which the asker then gets."""


class Gathered(NamedTuple):
    """Answers by process, and the processes that live and gave none in time."""

    answers: Mapping[str, Document]
    missing: tuple[str, ...]


class Peers(Protocol):
    """All processes of a cluster, this one included."""

    async def ask(self, process: str, kind: str, question: Document, *, more: float = 0.0) -> Document:
        """The answer of one process. more: seconds that it may need besides.

        Raises what it raised, NOT_FOUND where there is no such process, UPSTREAM_UNAVAILABLE where none can be told.
        """
        ...

    async def gather(self, kind: str, question: Document) -> Gathered:
        """The answers of all, complete after a second at the latest."""
        ...
