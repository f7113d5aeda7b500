"""Torn writes and rounds against what they mean: no byte is lost, none comes twice."""

from typing import cast
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.fanout import audience as module
from slipstream.fanout.audience import Audience, Round, View
from slipstream.fanout.connection import PARKED, Connection
from slipstream.fanout.payload import Payload
from slipstream.fanout.tail import Tail
from slipstream.protocol.topic import Filters
from tests.fakes.reactor import FakeReactor

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)

batches = st.lists(st.tuples(st.binary(min_size=1, max_size=6), st.integers(1, 3)), min_size=1, max_size=6)


def numbered(batch: list[tuple[bytes, int]], before: int) -> tuple[list[bytes], list[int]]:
    """Frames with rising sequences after `before`."""
    seqs: list[int] = []
    for _, step in batch:
        seqs.append((seqs[-1] if seqs else before) + step)
    return [frame for frame, _ in batch], seqs


@FEW
@given(batches, st.integers(0, 5), st.integers(0, 3), st.data())
def test_what_went_out_and_what_is_kept_end_where_the_cursor_says(
    batch: list[tuple[bytes, int]], before: int, beyond: int, data: st.DataObject
) -> None:
    frames, seqs = numbered(batch, before)
    payload, after = b"".join(frames), seqs[-1] + beyond
    sent = data.draw(st.integers(0, len(payload)))
    cursor, rest = Payload(frames, seqs).cut(sent, before, after)
    out = payload[:sent] + rest
    had = [seq for seq in seqs if seq <= cursor]
    assert out == b"".join(frames[: len(had)]), "whole frames, and just those up to the cursor"
    assert cursor == (after if sent == len(payload) else had[-1] if had else before)
    if rest:
        assert rest == frames[len(had) - 1][-len(rest) :]
        assert len(rest) < len(frames[len(had) - 1]), "of a frame that was not begun nothing is kept"


@FEW
@given(batches, st.integers(0, 5), st.integers(0, 20))
def test_a_reader_takes_a_shared_payload_from_its_own_place_on(
    batch: list[tuple[bytes, int]], before: int, cursor: int
) -> None:
    frames, seqs = numbered(batch, before)
    payload = Payload(frames, seqs)
    wanted = [frame for frame, seq in zip(frames, seqs, strict=True) if seq > cursor]
    assert payload.data[payload.start(cursor) :] == b"".join(wanted)


@FEW
@given(batches, st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30)), max_size=8), st.integers(1, 4))
def test_every_member_gets_the_payload_as_far_as_its_socket_takes_it(
    batch: list[tuple[bytes, int]], floors: list[tuple[int, int]], limit: int
) -> None:
    frames, seqs = numbered(batch, 4)
    payload = b"".join(frames)
    reactor = FakeReactor()
    view = View(Filters.parse([">"]), chunked=False, heartbeat_event=False)
    audience = Audience(cast("Tail", None), view, 0.0)
    connections = [reactor.open(number, audience, 0) for number, _ in enumerate(floors)]
    for connection, (floor, room) in zip(connections, floors, strict=True):
        connection.floor = PARKED if floor == 8 else floor
        reactor.wire(connection).room = room
        reactor.wire(connection).gone = room == 13
        audience.enter(connection)
    lagged: dict[Connection, int] = {}
    dropped: list[Connection] = []
    sealed = Round(audience, Payload(frames, seqs), 4, seqs[-1])

    def lag(connection: Connection, round_: Round, sent: int) -> None:
        assert round_ is sealed
        lagged[connection] = sent
        connection.floor = PARKED
        audience.leave(connection)

    with mock.patch.object(module, "os", reactor):
        slices = 1
        while not sealed.advance(limit, lag, dropped.append):
            slices += 1
    assert slices == max(1, -(-len(floors) // limit))
    for connection, (floor, room) in zip(connections, floors, strict=True):
        meant = floor <= 4
        gone = room == 13
        taken = payload[:room] if meant and not gone else b""
        assert reactor.wire(connection).taken == taken
        assert (connection in lagged) == (meant and not gone and len(taken) < len(payload))
        assert lagged.get(connection, len(taken)) == len(taken)
        assert (connection in dropped) == (meant and gone)
