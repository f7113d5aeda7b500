import pytest

from slipstream.client.order import Order, OrderViolation
from slipstream.protocol.errors import SlipstreamError

A, B = "aaaaaaaa", "bbbbbbbb"


def follow(*messages: tuple[str, str], start: str | None = None) -> Order:
    order = Order(start)
    for id_, event in messages:
        order.check(id_, event)
    return order


def test_events_may_leave_numbers_out_but_must_rise() -> None:
    order = follow((f"{A}-4-x", "stream.ready"), (f"{A}-5-x.key", "quake"), (f"{A}-9-x", "quake"))
    assert order.position is not None
    assert order.position.seq == 9


@pytest.mark.parametrize("seq", [8, 9])
def test_an_event_again_or_before_the_last_is_a_violation(seq: int) -> None:
    with pytest.raises(OrderViolation, match="order of the log is broken"):
        follow((f"{A}-9", "quake"), (f"{A}-{seq}", "quake"))


def test_the_order_holds_over_a_resume() -> None:
    with pytest.raises(OrderViolation):
        follow((f"{A}-9", "stream.ready"), (f"{A}-9", "quake"), start=f"{A}-9")


@pytest.mark.parametrize("mover", ["stream.checkpoint", "stream.ready"])
def test_a_frame_that_only_has_a_place_moves_it_forward_and_never_back(mover: str) -> None:
    order = follow((f"{A}-9", mover), start=f"{A}-5")
    with pytest.raises(OrderViolation):
        order.check(f"{A}-9", "quake")
    order = follow((f"{A}-9", "quake"), (f"{A}-9-x", mover), (f"{A}-3", mover))
    with pytest.raises(OrderViolation):
        order.check(f"{A}-4", "quake")


def test_a_frame_without_a_place_moves_nothing() -> None:
    order = follow((f"{A}-9", "quake"), ("", "stream.ready"), ("", "stream.gap"), ("", "stream.checkpoint"))
    assert order.position is not None
    assert order.position.seq == 9


def test_a_gap_may_lead_back_and_to_another_log() -> None:
    follow(
        (f"{A}-9", "quake"), (f"{A}-2", "stream.gap"), (f"{A}-3", "quake"), (f"{B}-0", "stream.gap"), (f"{B}-1", "q")
    )
    follow((f"{A}-9", "quake"), (f"{B}-0", "stream.ready"), (f"{B}-0", "stream.gap"), (f"{B}-1", "q"))


def test_another_log_without_a_gap_is_a_violation() -> None:
    order = follow((f"{A}-9", "quake"), (f"{B}-10", "stream.ready"))
    with pytest.raises(OrderViolation, match="no gap told it"):
        order.check(f"{B}-11", "quake")


def test_an_event_without_a_position_is_a_violation() -> None:
    with pytest.raises(OrderViolation, match="has no position"):
        follow(("", "quake"))


def test_heartbeats_and_errors_have_no_place() -> None:
    follow((f"{A}-9", "quake"), (f"{A}-9", "stream.heartbeat"), (f"{A}-9", "error"), ("", "stream.drain"))


def test_a_malformed_start_is_refused_at_once() -> None:
    with pytest.raises(SlipstreamError):
        Order("42")
