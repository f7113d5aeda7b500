"""Which audiences an event is for: one dictionary look-up for exact topics, a trie for wildcards.

The cost of `match` does not grow with the number of exact filters, and with wildcards it grows with the branches of
the trie that the topic really walks, not with the number of filters.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from slipstream.protocol.topic import Filter, Filters

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}


class Index(Generic[T]):
    """Maps topics to the values whose filters match them. Each value is found once, however many filters match."""

    __slots__ = ("_exact", "_root", "_wild")

    def __init__(self) -> None:
        self._exact: dict[str, dict[T, None]] = {}
        self._root: _Node[T] = _Node()
        self._wild = 0

    def add(self, filters: Filters, value: T) -> None:
        """Find `value` for every topic that one of `filters` matches."""
        for item in filters.items:
            if item.literal:
                self._exact.setdefault(item.text, {})[value] = None
            else:
                bucket = self._bucket(item)
                self._wild += value not in bucket
                bucket[value] = None

    def remove(self, filters: Filters, value: T) -> None:
        """Undo `add` with the same arguments. KeyError when it was not there."""
        for item in filters.items:
            if item.literal:
                found = self._exact[item.text]
                del found[value]
                if not found:
                    del self._exact[item.text]
            else:
                bucket = self._bucket(item)
                try:
                    del bucket[value]
                    self._wild -= 1
                finally:
                    self._prune(item)

    def match(self, topic: str) -> dict[T, None]:
        """The values for `topic`, each once, in a stable order. The answer must not be changed."""
        exact = self._exact.get(topic)
        if not self._wild:
            return exact if exact is not None else {}
        found: dict[T, None] = dict(exact) if exact else {}
        level = [self._root]
        for token in topic.split("."):
            following: list[_Node[T]] = []
            for node in level:
                if node.rest:
                    found.update(node.rest)
                child = node.children.get(token)
                if child is not None:
                    following.append(child)
                child = node.children.get("*")
                if child is not None:
                    following.append(child)
            level = following
            if not level:
                return found
        for node in level:
            if node.here:
                found.update(node.here)
        return found

    def _bucket(self, item: Filter) -> dict[T, None]:
        node = self._root
        for token in item.tokens:
            if token == ">":
                return node.rest
            node = node.children.setdefault(token, _Node())
        return node.here

    def _prune(self, item: Filter) -> None:
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for token in item.tokens:
            if token == ">":
                break
            path.append((node, token))
            node = node.children[token]
        for parent, token in reversed(path):
            child = parent.children[token]
            if child.children or child.here or child.rest:
                return
            del parent.children[token]
