"""When heartbeats go out. See also tests/property/test_audience.py."""

from typing import cast

from slipstream.fanout.audience import Audience, Round, View
from slipstream.fanout.broadcast import Broadcast
from slipstream.fanout.connection import Connection
from slipstream.fanout.tail import Tail
from slipstream.protocol.position import Position
from slipstream.protocol.topic import Filters
from tests.fakes.reactor import FakeReactor

HEARTBEAT = 15.0
STEP = 0.05
PLACE = Position("k3m9x2ab", 0)


def lag(connection: Connection, _: Round, sent: int) -> None:
    raise AssertionError(f"{connection.number} took {sent} bytes")


def drop(connection: Connection) -> None:
    raise AssertionError(f"{connection.number} is gone")


def beats(audiences: list[Audience], broadcast: Broadcast, count: int) -> dict[Audience, list[float]]:
    """When each audience got its heartbeats, in seconds since all of them fell quiet."""
    began = audiences[0].beaten_at
    assert {audience.beaten_at for audience in audiences} == {began}
    heard: dict[Audience, list[float]] = {audience: [] for audience in audiences}
    for step in range(int(count * HEARTBEAT / STEP)):
        broadcast.beat(began + step * STEP, PLACE)
        while broadcast.rounds:
            heard[broadcast.rounds.popleft().audience].append(step * STEP)
    return heard


def test_audiences_that_fell_quiet_together_drift_apart_and_no_heartbeat_is_late() -> None:
    broadcast = Broadcast(cast("Tail", None), HEARTBEAT, lag, drop)
    reactor = FakeReactor()
    audiences = []
    for number, topic in enumerate(("a", "b")):
        audience = broadcast.audience(View(Filters.parse([topic]), chunked=False, heartbeat_event=False))
        audience.enter(reactor.open(number, audience, 0))
        audience.beaten_at = 1_000.0
        audiences.append(audience)
    heard = beats(audiences, broadcast, 20)
    first, second = heard.values()
    assert first[0] == second[0], "quiet since the same moment"
    assert not set(first[1:]) & set(second[1:]), "and together for ever"
    for times in (first, second):
        waits = [after - before for before, after in zip([0.0, *times], times, strict=False)]
        assert max(waits) <= HEARTBEAT + STEP, "a peer is judged by it"
        assert min(waits) >= 0.8 * HEARTBEAT - STEP, "more than a fifth early"
