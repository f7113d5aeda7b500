"""Many events in flight: in their order, a bounded number of them, and the first failure ends it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import pytest

from slipstream.cli.publish.send import LineFailed, Sender
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.publication import Publication, parse_publication
from tests.servers import wait_until
from tests.unit.cli.store import IN_FLIGHT, MemoryStore


def parse(line: bytes) -> Publication:
    return parse_publication(line, 1_000)


def line_of(number: int) -> bytes:
    return b'{"topic":"a.%d","data":%d,"id":"%d"}\n' % (number % 7, number, number)


async def lines_of(lines: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for line in lines:
        yield line


async def test_all_arrive_in_order_with_many_in_flight() -> None:
    store = MemoryStore()
    sender = Sender(store, "acme", parse)
    lines = [line_of(number) for number in range(1_000)]
    await sender.send(lines_of([*lines, b"\n", b"   "]))
    assert [data for _, data in store.stored] == [b"%d" % number for number in range(1_000)]
    assert store.most > 1
    assert (sender.tally.stored, sender.tally.duplicates) == (1_000, 0)
    assert sender.tally.bytes == sum(map(len, lines))
    assert sender.tally.last is not None
    assert sender.tally.last.seq == 1_000


async def test_no_more_is_read_than_the_store_has_room_for() -> None:
    read = 0

    async def lines() -> AsyncGenerator[bytes]:
        nonlocal read
        for number in range(1_000):
            # What is in flight, the one that waits for room, and this one.
            assert number - len(store.stored) <= IN_FLIGHT + 1
            read += 1
            yield line_of(number)

    store = MemoryStore()
    await Sender(store, "acme", parse).send(lines())
    assert read == len(store.stored) == 1_000


async def test_duplicates_are_counted() -> None:
    store = MemoryStore()
    for expected in (0, 50):
        sender = Sender(store, "acme", parse)
        await sender.send(lines_of(line_of(number) for number in range(50)))
        assert (sender.tally.stored, sender.tally.duplicates) == (50, expected)
    assert len(store.stored) == 50


async def test_a_wrong_line_ends_it_after_those_before_it() -> None:
    store = MemoryStore()
    sender = Sender(store, "acme", parse)
    with pytest.raises(LineFailed, match="line 4: topic is missing") as caught:
        await sender.send(lines_of([line_of(1), b"\n", line_of(2), b'{"data":1}', line_of(3)]))
    assert caught.value.cause.code is Code.BAD_REQUEST
    assert [data for _, data in store.stored] == [b"1", b"2"]
    assert sender.tally.stored == 2


async def test_the_first_of_several_failures_is_told_and_what_flies_is_waited_for() -> None:
    away = SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "nobody acked")
    store = MemoryStore(lambda data: away if data in (b"5", b"7") else None)
    sender = Sender(store, "acme", parse)
    with pytest.raises(LineFailed, match="line 6: nobody acked"):
        await sender.send(lines_of(line_of(number) for number in range(10_000)))
    assert sender.tally.stored == len(store.stored) < 10_000
    assert [data for _, data in store.stored[:6]] == [b"0", b"1", b"2", b"3", b"4", b"6"]


async def test_a_failure_is_told_although_the_next_line_never_comes() -> None:
    async def lines() -> AsyncGenerator[bytes]:
        yield line_of(1)
        yield line_of(2)
        await asyncio.Event().wait()

    away = SlipstreamError(Code.UPSTREAM_UNAVAILABLE, "nobody acked")
    sender = Sender(MemoryStore(lambda data: away if data == b"2" else None), "acme", parse)
    async with asyncio.timeout(5):
        with pytest.raises(LineFailed, match="line 2: nobody acked"):
            await sender.send(lines())


async def test_what_cannot_be_read_is_told() -> None:
    async def lines() -> AsyncGenerator[bytes]:
        yield line_of(1)
        raise OSError(5, "Input/output error")

    sender = Sender(MemoryStore(), "acme", parse)
    with pytest.raises(LineFailed, match=r"line 2: it cannot be read: .*Input/output error"):
        await sender.send(lines())
    assert sender.tally.stored == 1


async def test_a_fault_of_our_own_is_not_swallowed() -> None:
    def broken(data: bytes) -> SlipstreamError | None:
        raise ZeroDivisionError(data)

    sender = Sender(MemoryStore(broken), "acme", parse)
    with pytest.raises(ExceptionGroup) as caught:
        await sender.send(lines_of([line_of(1), line_of(2)]))
    assert caught.group_contains(ZeroDivisionError)


async def test_cancelled_it_lets_go_of_everything() -> None:
    async def lines() -> AsyncGenerator[bytes]:
        yield line_of(1)
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    sender = Sender(MemoryStore(), "acme", parse)
    sending = asyncio.create_task(sender.send(lines()))

    async def stored() -> bool:
        return sender.tally.stored == 1

    await wait_until(stored, seconds=5, what="the first event is stored")
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert asyncio.all_tasks() == before
