"""Who sees the same bytes, what is left of a torn write, and one round. See also tests/property/test_audience.py."""

import zlib
from collections.abc import Iterator
from typing import cast

import pytest

from slipstream.fanout import audience as module
from slipstream.fanout.audience import GATHER_SECONDS, Audience, Round, View
from slipstream.fanout.compression import GZIP_HEADER
from slipstream.fanout.connection import PARKED, Connection
from slipstream.fanout.payload import Cut, Payload
from slipstream.fanout.tail import Tail
from slipstream.protocol.topic import Filters
from tests.fakes.judge import unchunk
from tests.fakes.reactor import FakeReactor

FRAMES = [b"one\n\n", b"second\n\n", b"3\n\n"]
SEQS = [11, 14, 15]


class Recorder:
    """What a round told of sockets that did not take everything, and of those that are gone."""

    def __init__(self) -> None:
        self.lagged: list[tuple[Connection, int]] = []
        self.dropped: list[Connection] = []

    def lag(self, connection: Connection, _: Round, sent: int) -> None:
        self.lagged.append((connection, sent))

    def drop(self, connection: Connection) -> None:
        self.dropped.append(connection)


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReactor]:
    reactor = FakeReactor()
    monkeypatch.setattr(module, "os", reactor)
    yield reactor
    assert not reactor.waiting


def audience_of(*, chunked: bool = False, gzip: bool = False) -> Audience:
    return Audience(cast("Tail", None), View(Filters.parse(["a"]), chunked, heartbeat_event=False, gzip=gzip), 0.0)


def members(reactor: FakeReactor, audience: Audience, *floors: int) -> list[Connection]:
    connections = [reactor.open(number, audience, 0) for number, _ in enumerate(floors)]
    for connection, floor in zip(connections, floors, strict=True):
        connection.floor = floor
        audience.enter(connection)
    return connections


def test_views_are_equal_when_the_bytes_are() -> None:
    view = View(Filters.parse(["b", "a"]), chunked=True, heartbeat_event=False)
    assert view == View(Filters.parse(["a", "b", "a"]), chunked=True, heartbeat_event=False)
    others = [
        view._replace(filters=Filters.parse(["a"])),
        view._replace(chunked=False),
        view._replace(heartbeat_event=True),
        view._replace(gzip=True),
    ]
    assert len({view, *others}) == 5


def test_members_are_in_the_order_they_joined(reactor: FakeReactor) -> None:
    audience = audience_of()
    assert list(audience.roll) == []
    first, second, third = members(reactor, audience, 0, 0, 0)
    assert list(audience.roll) == [first, second, third]
    assert audience.roll is audience.roll, "made once for all rounds until somebody comes or goes"
    audience.leave(second)
    audience.leave(second)
    assert list(audience.roll) == [first, third]
    audience.enter(second)
    assert list(audience.roll) == [first, third, second]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (0, Cut(10, b"")),
        (1, Cut(11, b"ne\n\n")),
        (4, Cut(11, b"\n")),
        (5, Cut(11, b"")),
        (6, Cut(14, b"econd\n\n")),
        (13, Cut(14, b"")),
        (14, Cut(15, b"\n\n")),
        (16, Cut(20, b"")),
    ],
)
def test_of_a_torn_write_the_rest_of_one_frame_is_kept(sent: int, expected: Cut) -> None:
    assert Payload(FRAMES, SEQS).cut(sent, 10, 20) == expected


def test_a_cursor_that_is_beyond_the_frames_that_went_out_does_not_go_back() -> None:
    assert Payload(FRAMES, SEQS).cut(5, 12, 20) == Cut(12, b"")


def test_frames_go_out_as_the_view_says() -> None:
    block = b"data: x\n\n"
    assert audience_of().frame(block) == block
    assert audience_of(chunked=True).frame(block) == b"9\r\n" + block + b"\r\n"
    for chunked in (False, True):
        body = audience_of(chunked=chunked, gzip=True).frame(block) * 2
        if chunked:
            body, rest = unchunk(body)
            assert rest == b""
        assert zlib.decompressobj(wbits=31).decompress(GZIP_HEADER + body) == block * 2


def test_what_a_reader_gets_alone_is_what_the_audience_gets() -> None:
    for plain in (audience_of(), audience_of(chunked=True), audience_of(gzip=True)):
        payload = plain.wrap(FRAMES, SEQS)
        assert (payload.data, payload.seqs) == (b"".join(plain.frame(frame) for frame in FRAMES), SEQS)
        assert plain.wrap([], []).data == b""


def test_a_compressed_batch_is_one_frame_that_brings_the_reader_to_its_end() -> None:
    audience = audience_of(gzip=True)
    alone = audience.wrap(FRAMES, SEQS)
    audience.pending, audience.seqs = FRAMES * 100, [*range(299), 400]
    pending = audience.take_pending()
    assert pending.seqs == [400]
    assert len(pending.data) < 200, "it is deflated"
    body = GZIP_HEADER + pending.data + alone.data
    assert zlib.decompressobj(wbits=31).decompress(body) == b"".join(FRAMES * 101)


def test_what_is_pending_is_taken_once() -> None:
    audience = audience_of()
    audience.pending, audience.seqs = list(FRAMES), list(SEQS)
    taken = audience.take_pending()
    assert (taken.data, taken.seqs) == (b"".join(FRAMES), SEQS)
    assert (audience.pending, audience.seqs) == ([], [])


def test_only_compressed_batches_wait_for_more() -> None:
    for gzip in (False, True):
        audience = audience_of(gzip=gzip)
        audience.sealed_at = 100.0
        assert audience.ripe(100.0) is not gzip
        assert audience.ripe(100.01 + GATHER_SECONDS)


def test_a_round_is_for_whom_it_does_not_know_more_already(reactor: FakeReactor) -> None:
    audience = audience_of()
    older, same, newer, parked = members(reactor, audience, 3, 10, 11, PARKED)
    seen = Recorder()
    assert Round(audience, Payload(FRAMES, SEQS), 10, 20).advance(10, seen.lag, seen.drop)
    taken = [bytes(reactor.wire(one).taken) for one in (older, same, newer, parked)]
    assert taken == [b"".join(FRAMES), b"".join(FRAMES), b"", b""]
    assert (seen.lagged, seen.dropped) == ([], [])


def test_a_round_of_a_restart_is_for_every_member_but_for_no_parked_one(reactor: FakeReactor) -> None:
    audience = audience_of()
    member, parked = members(reactor, audience, 1 << 64, PARKED)
    seen = Recorder()
    Round(audience, Payload(FRAMES[:1], [5]), PARKED - 1, 5).advance(10, seen.lag, seen.drop)
    assert [bytes(reactor.wire(one).taken) for one in (member, parked)] == [FRAMES[0], b""]


def test_whoever_joins_after_a_round_was_sealed_is_not_in_it(reactor: FakeReactor) -> None:
    audience = audience_of()
    (first,) = members(reactor, audience, 0)
    sealed, seen = Round(audience, Payload(FRAMES, SEQS), 10, 20), Recorder()
    late = reactor.open(7, audience, 0)
    late.floor = 0
    audience.enter(late)
    assert sealed.advance(10, seen.lag, seen.drop)
    assert reactor.wire(first).taken
    assert not reactor.wire(late).taken


def test_a_round_goes_on_where_its_last_slice_ended(reactor: FakeReactor) -> None:
    audience = audience_of()
    connections = members(reactor, audience, 0, 0, 0)
    sealed, seen = Round(audience, Payload(FRAMES, SEQS), 10, 20), Recorder()
    assert sealed.left() == connections
    assert not sealed.advance(2, seen.lag, seen.drop)
    assert sealed.left() == connections[2:]
    connections[2].floor = PARKED
    assert sealed.left() == []
    connections[2].floor = 0
    assert sealed.advance(2, seen.lag, seen.drop)
    assert [bytes(reactor.wire(one).taken) for one in connections] == [b"".join(FRAMES)] * 3


def test_a_round_without_members_is_over_at_once() -> None:
    seen = Recorder()
    assert Round(audience_of(), Payload(FRAMES, SEQS), 10, 20).advance(1, seen.lag, seen.drop)


def test_sockets_that_do_not_take_everything_are_told_of_and_stop_nobody(reactor: FakeReactor) -> None:
    audience = audience_of()
    full, torn, gone, well = members(reactor, audience, 0, 0, 0, 0)
    reactor.wire(full).room = 0
    reactor.wire(torn).room = 7
    reactor.wire(gone).gone = True
    seen = Recorder()
    assert Round(audience, Payload(FRAMES, SEQS), 10, 20).advance(10, seen.lag, seen.drop)
    assert seen.lagged == [(full, 0), (torn, 7)]
    assert seen.dropped == [gone]
    assert reactor.wire(well).taken == b"".join(FRAMES)
