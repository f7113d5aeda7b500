"""What edge and child say to each other, and what the edge does not believe."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.hooks.wire import LENGTHS, Frame, Frames, Garbage, Plan, answer, answered, ask, asked, pack
from slipstream.shape.event import Dropped, Event, Outcome, Undeliverable, Withheld
from slipstream.tenants.shaping import HookSpec

EVENT = Event("abcdefgh-7-xyz.key", "a.b", "delay", 1_000, "grüße\0\n".encode())

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_events = st.builds(
    Event, _texts, _texts, st.text("abc é", max_size=9), st.integers(0, 2**53), _texts.map(str.encode), st.none()
)


def there_and_back(event: Event, outcome: Outcome) -> Outcome:
    (frame,) = frames(answer(3, event, outcome))
    return answered(frame, 3, event)


def frames(data: bytes, limit: int = 1_024) -> list[Frame]:
    return list(Frames(limit).feed(data))


@given(st.lists(_events, max_size=5), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_cut(events: list[Event], size: int) -> None:
    stream = b"".join(ask(number, event) for number, event in enumerate(events))
    parser = Frames(1_024)
    found = [frame for at in range(0, len(stream), size) for frame in parser.feed(stream[at : at + size])]
    assert [asked(frame) for frame in found] == list(enumerate(events))


@given(_events, _texts.map(str.encode), st.none() | st.text("abc=.", max_size=9))
def test_an_answer_has_the_data_name_and_signature_and_nothing_else(
    event: Event, data: bytes, signature: str | None
) -> None:
    outcome = event._replace(data=data, event="other", signature=signature)
    assert there_and_back(event, outcome) == outcome


@pytest.mark.parametrize("outcome", [EVENT, Dropped(), Withheld("the hook x raised KeyError")])
def test_every_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    assert there_and_back(EVENT, outcome) == outcome


def test_data_that_was_not_changed_is_not_sent_back() -> None:
    event = EVENT._replace(data=b"x" * 900)
    assert len(answer(1, event, event._replace(signature="abc"))) < 100


def test_what_no_chain_may_answer_is_withheld() -> None:
    assert isinstance(there_and_back(EVENT, Undeliverable()), Withheld)


def test_a_long_reason_is_cut() -> None:
    assert there_and_back(EVENT, Withheld("x" * 900)) == Withheld("x" * 200)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (["kept"], b""),
        ([2, "kept", "", None], b""),
        ([1, "kept", "", None], b"data"),
        ([1, "kept", ""], b""),
        ([1, "kept", None, None], b""),
        ([1, "kept", "stream.gap", None], b""),
        ([1, "kept", "two\nlines", None], b""),
        ([1, "kept", "", "two\nlines"], b""),
        ([1, "kept", "", "é"], b""),
        ([1, "kept", "", 5], b""),
        ([1, "changed", "", None], b"\xff"),
        ([1, "changed", "", None], b"\xed\xa0\x80"),
        ([1, "dropped"], b"x"),
        ([1, "dropped", 1], b""),
        ([1, "withheld", "x" * 201], b""),
        ([1, "withheld", "data: two\nlines"], b""),
        ([1, "withheld", None], b""),
        ([1, "undeliverable"], b""),
        ([], b""),
        (None, b""),
        ({"a": 1}, b""),
        ("kept", b""),
    ],
)
def test_everything_else_is_garbage(head: Any, body: bytes) -> None:
    with pytest.raises(Garbage):
        answered(Frame(head, body), 1, EVENT)


@pytest.mark.parametrize(
    "data",
    [
        LENGTHS.pack(65_537, 0),
        LENGTHS.pack(0, 1_025),
        LENGTHS.pack(2**32 - 1, 2**32 - 1),
        LENGTHS.pack(0, 0),
        LENGTHS.pack(3, 0) + b"[1,",
        LENGTHS.pack(2, 0) + b"\xff\xff",
    ],
)
def test_a_frame_that_is_too_long_or_no_json_is_garbage_at_once(data: bytes) -> None:
    with pytest.raises(Garbage):
        frames(data)


def test_the_longest_signature_fits() -> None:
    signed = EVENT._replace(signature='"' * 16_384)
    assert there_and_back(EVENT, signed) == signed


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = Plan("acme", (HookSpec(name="a", config={"b": [1, None]}), HookSpec(name="c")), 12.5, 1 << 28, 99)
    (frame,) = frames(plan.pack())
    assert Plan.unpack(frame.head) == plan


def test_a_head_is_json_and_nothing_else() -> None:
    assert pack(["ready"]) == LENGTHS.pack(9, 0) + orjson.dumps(["ready"])
