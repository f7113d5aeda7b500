"""A KV bucket followed with a feed of our own, because the library's watcher is built on its ordered consumer.

From the beginning, always, when the feed begins anew: our buckets are small, what was read before may have been
rewritten since, and an entry that expired is told by its absence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from slipstream.jetstream.api import Api
from slipstream.jetstream.client import parse_headers
from slipstream.jetstream.feed import Feed
from slipstream.jetstream.kv import Kv, removes
from slipstream.jetstream.subjects import Delivered

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class Watcher(Protocol):
    """Is told what stands in a bucket, and what happens there, in the order of its revisions."""

    def began(self, *, anew: bool) -> None:
        """All that stands there is told from here on. anew: it is another bucket than the one before."""

    def take(self, key: str, value: bytes | None, delivered: Delivered) -> None:
        """What stands at `key` now; None is a removal."""

    def loaded(self) -> None:
        """All that stood there at `began` was told."""


class KvFollower:
    """Follows `kv` for as long as `run` runs.

    name: of the consumer. make: make the bucket where there is none; else wait for it.
    """

    def __init__(self, kv: Kv, api: Api, feed_api: Api, name: str, watcher: Watcher, *, make: bool) -> None:
        self._kv = kv
        self._watcher = watcher
        self._created_at = kv.created if make else kv.found
        self._created = ""
        self._until: int | None = None
        self._taken = 0
        self._feed = Feed(api, feed_api, kv.stream, name, take=self._take, locate=self._locate, confirm=self._confirm)
        self.attached = self._feed.attached

    async def run(self) -> None:
        """Follow until cancelled."""
        await self._feed.run()

    async def _locate(self, _last: int | None) -> int:
        created = await self._created_at()
        # The newest message that is there: the stream's last sequence may be a marker that was purged since.
        self._until = await self._kv.newest()
        anew = self._created not in ("", created)
        if anew:
            _logger.warning("the bucket %s was made anew: what stood in it is gone", self._kv.bucket)
        self._created = created
        self._taken = 0
        self._watcher.began(anew=anew)
        self._settle(0)
        return 0

    async def _confirm(self) -> bool:
        if await self._created_at() != self._created:
            return False
        if self._until is not None:
            # What was the newest may have expired before the consumer was made: then it is not told any more.
            self._lower(await self._kv.newest())
        return True

    def _take(self, delivered: Delivered, subject: str, data: bytes, raw: bytes) -> bool:
        removed = bool(raw) and removes(parse_headers(raw))
        self._watcher.take(subject.removeprefix(self._kv.prefix), None if removed else data, delivered)
        self._taken = delivered.stream_seq
        self._settle(self._taken)
        return True

    def _lower(self, newest: int) -> None:
        if self._until is not None:
            self._until = min(self._until, newest)
            self._settle(self._taken)

    def _settle(self, seq: int) -> None:
        if self._until is not None and seq >= self._until:
            self._until = None
            self._watcher.loaded()


class Table(Protocol[T]):
    """What a `Replica` keeps equal to a bucket."""

    def get(self, key: str) -> T | None:
        """What stands there now."""

    def put(self, item: T) -> None:
        """It is new or different; it knows its key."""

    def remove(self, key: str) -> None:
        """It is gone; what is not there may be removed."""

    def replace(self, items: Mapping[str, T]) -> None:
        """These are all, by their keys."""


class Replica(Generic[T]):
    """A watcher that keeps a table equal to its bucket. The table sees a (re)load only when it is whole.

    read: an item of its key and value; raises ValueError for what is none. What stood there before stays in force then:
    nothing is taken away by what is broken. what: the items' name for the log.
    """

    def __init__(self, table: Table[T], read: Callable[[str, bytes], T], what: str) -> None:
        self._table = table
        self._read = read
        self._what = what
        self._loading: dict[str, T] | None = None

    def began(self, *, anew: bool) -> None:
        """See `Watcher`: what is known stays until all was read again."""
        del anew
        self._loading = {}

    def take(self, key: str, value: bytes | None, delivered: Delivered) -> None:
        """See `Watcher`."""
        del delivered
        if value is None:
            self._remove(key)
            return
        try:
            item = self._read(key, value)
        except ValueError as error:
            _logger.error("%s %r is broken and ignored: %s", self._what, key, error)
            if self._loading is not None and (known := self._table.get(key)) is not None:
                self._loading[key] = known
            return
        if self._loading is None:
            self._table.put(item)
        else:
            self._loading[key] = item

    def loaded(self) -> None:
        """See `Watcher`."""
        if self._loading is not None:
            items, self._loading = self._loading, None
            self._table.replace(items)

    def _remove(self, key: str) -> None:
        if self._loading is None:
            self._table.remove(key)
        else:
            self._loading.pop(key, None)
