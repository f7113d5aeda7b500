import orjson
import pytest

from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason, code_of
from slipstream.protocol.errors import CATALOGUE, Code
from slipstream.protocol.position import Position
from tests.sse import Parsed, Parser

PLACE = Position("k3x9q0ab", 1042, 36)


def parse(frame: bytes) -> Parsed:
    """The one event in a frame, read by a client that had the id `before`."""
    (event,) = Parser(last_id="before").feed(frame)
    return event


def test_ready_tells_the_position_and_the_terms() -> None:
    frame = control.ready(PLACE, stream="s1", tenant="acme", topics=("a.*", "b"), heartbeat_ms=15000, expires_at=1764)
    assert frame == (
        b"id: k3x9q0ab-1042-10\nevent: stream.ready\n"
        b'data: {"stream":"s1","tenant":"acme","topics":["a.*","b"],"heartbeat_ms":15000,"expires_at":1764}\n\n'
    )


def test_ready_without_a_token_never_expires() -> None:
    event = parse(control.ready(None, stream="s1", tenant="acme", topics=[">"], heartbeat_ms=15000))
    assert event.id == "before"
    assert orjson.loads(event.data)["expires_at"] is None


def test_a_gap_has_exactly_the_keys_of_the_contract() -> None:
    gap = Gap(Reason.expired, "k3x9q0ab-7", Position("k3x9q0ab", 900), certain=True, trace_id="4bf9")
    assert control.gap(PLACE, gap) == (
        b"id: k3x9q0ab-1042-10\nevent: stream.gap\n"
        b'data: {"reason":"expired","code":"SSE_HISTORY_EXPIRED","requested":"k3x9q0ab-7","from":"k3x9q0ab-900",'
        b'"certain":true,"trace_id":"4bf9"}\n\n'
    )


def test_a_gap_without_a_request_has_nulls() -> None:
    event = parse(control.gap(None, Gap(Reason.withheld, None, None, certain=False)))
    assert orjson.loads(event.data) == {
        "reason": "withheld",
        "code": "SSE_WITHHELD",
        "requested": None,
        "from": None,
        "certain": False,
        "trace_id": None,
    }


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("expired", "SSE_HISTORY_EXPIRED"),
        ("reset", "SSE_STREAM_RESET"),
        ("rewritten", "SSE_STREAM_RESET"),
        ("ahead", "SSE_CURSOR_AHEAD"),
        ("limited", "SSE_REPLAY_LIMITED"),
        ("undeliverable", "SSE_UNDELIVERABLE"),
        ("withheld", "SSE_WITHHELD"),
    ],
)
def test_each_reason_has_its_code(reason: str, code: str) -> None:
    assert code_of(Reason(reason)) == code
    assert CATALOGUE[code_of(Reason(reason))].status == 200


def test_no_reason_is_without_a_code() -> None:
    assert {code_of(reason) for reason in Reason} == {code for code, entry in CATALOGUE.items() if entry.status == 200}


def test_a_checkpoint_moves_the_id_and_has_data() -> None:
    assert control.checkpoint(PLACE) == b"id: k3x9q0ab-1042-10\nevent: stream.checkpoint\ndata: {}\n\n"


def test_events_without_an_id_leave_the_client_where_it_was() -> None:
    frames = {
        "stream.heartbeat": (control.heartbeat(1_764_000_000_000), {"time_ms": 1_764_000_000_000}),
        "stream.expiring": (control.expiring(1_764_000_060), {"expires_at": 1_764_000_060}),
        "stream.drain": (control.drain(2500), {"retry_ms": 2500}),
    }
    for name, (frame, document) in frames.items():
        event = parse(frame)
        assert (event.id, event.event, orjson.loads(event.data)) == ("before", name, document)
        assert b"\nid:" not in b"\n" + frame


def test_a_drain_sets_the_reconnection_time_of_a_native_client() -> None:
    assert parse(control.drain(2500)).retry == 2500


@pytest.mark.parametrize(("retry", "set_to"), [(True, None), (False, None), (1500, 1500)])
def test_an_error_says_whether_and_when_to_come_back(retry: int, set_to: int | None) -> None:
    event = parse(control.error(Code.OVERLOADED, "Full.\nCome back.", retry, "4bf9"))
    assert (event.id, event.event, event.retry) == ("before", "error", set_to)
    document = orjson.loads(event.data)
    assert document == {"code": "SSE_OVERLOADED", "message": "Full.\nCome back.", "retry": retry, "trace_id": "4bf9"}
    assert document["retry"] is retry or document["retry"] == 1500


def test_an_error_without_a_trace() -> None:
    assert orjson.loads(parse(control.error(Code.INTERNAL, "Oops.", True, None)).data)["trace_id"] is None
