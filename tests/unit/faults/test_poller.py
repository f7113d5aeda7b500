"""What a page of a poll tells is judged like what a stream tells."""

import asyncio
from typing import Any

import pytest

from tests.faults.poller import Poller
from tests.proof.book import Book
from tests.proof.checker import Delivery, Gap
from tests.proof.plan import ReaderPlan, Since
from tests.proof.reader import RefusedError, Tally


class Given(Poller):
    """Takes pages as they are given."""

    def take(self, page: dict[str, Any]) -> None:
        self._page(page)


def poller(since: Since = "earliest", started: int = 9) -> Given:
    plan = ReaderPlan("one", "acme", (">",), since, True, 0.0, False, False)
    return Given(plan, [1], Book(started=started), Tally(), {}, 0, first=0)


def page(cursor: int, *seqs: int, gap: tuple[int, str] | None = None) -> dict[str, Any]:
    return {
        "events": [{"id": f"k3m9x2ab-{seq}", "event": "n", "topic": "a.b", "data": f"{seq}"} for seq in seqs],
        "cursor": f"k3m9x2ab-{cursor}",
        "gap": None if gap is None else {"from": f"k3m9x2ab-{gap[0]}", "reason": gap[1]},
    }


def test_a_gap_comes_before_its_pages_events_and_the_cursor_behind_them() -> None:
    one = poller()
    assert not one.is_ready
    one.take(page(5, 4, 5, gap=(3, "expired")))
    one.take(page(7))
    assert one.history.items == [
        Gap("k3m9x2ab-3", "expired"),
        Delivery("k3m9x2ab-4", "n", "4", "a.b"),
        Delivery("k3m9x2ab-5", "n", "5", "a.b"),
    ]
    assert (one.last_id, one.last_seq, one.is_ready) == ("k3m9x2ab-7", 7, True)


@pytest.mark.parametrize(("first", "start"), [(page(4), 4), (page(6, 5, 6), 4)])
def test_the_first_page_tells_where_now_is(first: dict[str, Any], start: int) -> None:
    one = poller("now")
    one.take(first)
    one.take(page(8, 8))
    assert one.history.start == start


@pytest.mark.parametrize("cursor", ["k3m9x2ab-10", "x"])
def test_a_cursor_that_cannot_be_is_refused(cursor: str) -> None:
    with pytest.raises(RefusedError, match="9 events ever sent"):
        poller().take({**page(1), "cursor": cursor})


@pytest.mark.parametrize(("status", "error"), [(b"503 No", EOFError), (b"404 No", RefusedError)])
async def test_a_refusal_that_passes_is_no_finding_and_another_is(status: bytes, error: type[Exception]) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server, asyncio.timeout(10):
        with pytest.raises(error):
            await poller()._connection(server.sockets[0].getsockname()[1])
