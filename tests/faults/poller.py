"""A reader that holds no stream: it asks `/v1/poll` again and again, each time with the cursor of the last answer."""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from tests.faults.readers import WatchedReader
from tests.proof.checker import Delivery, Gap, place
from tests.proof.reader import RefusedError
from tests.servers import HOST

EVERY_SECONDS: Final = 0.2
WAITS: Final = (0, 3)
ANSWER_SECONDS: Final = 9.0
"""The longest wait for an event, and 6 s: an edge answers within 5 s, as long as it lives."""
LIMITS: Final = (3, 100, 1000)
ASKED: Final = 40
"""Polls after which the next edge is asked, at most: a cursor is good at every one."""
PASSING: Final = (429, 500, 502, 503)


class Poller(WatchedReader):
    """Polls over the edges in turn, sometimes waiting for the first event, with pages small and large.

    It makes pauses by itself, and so has no pulse.
    """

    polls = True

    async def _connection(self, port: int) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with aiohttp.ClientSession(f"http://{HOST}:{port}", timeout=timeout) as session:
                for _ in range(self._dice.randint(1, ASKED)):
                    await self._ask(session)
                    await asyncio.sleep(EVERY_SECONDS)
        except aiohttp.ClientError as error:
            raise EOFError(repr(error)) from error

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        query = [("topic", one) for one in self.plan.filters]
        # The first one tells where "now" is.
        query += [("wait", str(self._dice.choice(WAITS) if self.is_ready else 0))]
        query += [("limit", str(self._dice.choice(LIMITS)))]
        query += [("last_event_id", self.last_id)] if self.last_id else [("since", self.plan.since)]
        async with session.get("/v1/poll", params=query, headers={"X-Tenant-ID": self.plan.tenant}) as answer:
            text = await answer.text()
        if answer.status == HTTPStatus.OK:
            self._page(json.loads(text))
            return
        self._tally.refusals[str(answer.status)] += 1
        if answer.status not in PASSING:
            raise RefusedError(f"{self.plan.name}: {answer.status} {text}")
        raise EOFError(f"status {answer.status}")

    def _page(self, page: dict[str, Any]) -> None:
        """What is missing comes before the events, and the cursor behind both."""
        cursor: str = page["cursor"]
        where = place(cursor)
        if where is None or where[1] > self._book.started:
            raise RefusedError(f"{self.plan.name}: cursor {cursor!r}, of {self._book.started} events ever sent")
        gap, events = page["gap"], page["events"]
        if gap is not None:
            self.history.items.append(Gap(gap["from"], gap["reason"]))
        for event in events:
            self._tally.deliveries += 1
            id_, data = event["id"], event["data"]
            kept = self._texts.setdefault(id_, id_), event["event"], self._texts.setdefault(data, data)
            self.history.items.append(Delivery(*kept, event["topic"]))
        if not self.is_ready and self.plan.since == "now":
            first = place(events[0]["id"]) if events else None
            self.history.start = where[1] if first is None else first[1] - 1
        self._failures = 0
        self.is_ready = True
        self.last_id = cursor
        self.last_seq = max(self.last_seq, where[1])
