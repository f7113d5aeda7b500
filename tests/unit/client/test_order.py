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


def test_a_checkpoint_moves_the_place_forward_and_never_back() -> None:
    with pytest.raises(OrderViolation):
        follow((f"{A}-9", "stream.checkpoint"), (f"{A}-9", "quake"), start=f"{A}-5")
    with pytest.raises(OrderViolation):
        follow((f"{A}-9", "quake"), (f"{A}-3", "stream.ready"), (f"{A}-4", "quake"))


def test_a_gap_may_lead_back_and_to_another_log() -> None:
    follow(
        (f"{A}-9", "quake"), (f"{A}-2", "stream.gap"), (f"{A}-3", "quake"), (f"{B}-0", "stream.gap"), (f"{B}-1", "q")
    )


def test_another_log_without_a_gap_is_a_violation() -> None:
    with pytest.raises(OrderViolation, match="no gap told it"):
        follow((f"{A}-9", "quake"), (f"{B}-10", "stream.ready"), (f"{B}-11", "quake"))


def test_an_event_without_a_position_is_a_violation() -> None:
    with pytest.raises(OrderViolation, match="has no position"):
        follow(("", "quake"))


def test_heartbeats_and_errors_have_no_place() -> None:
    follow((f"{A}-9", "quake"), (f"{A}-9", "stream.heartbeat"), (f"{A}-9", "error"), ("", "stream.drain"))


def test_a_malformed_start_is_refused_at_once() -> None:
    with pytest.raises(SlipstreamError):
        Order("42")
