"""An event id leads back to its event, and nothing else is taken for one."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.position import Position, format_id, mark_of, time_near

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)

epochs = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8)
seqs = st.integers(0, 2**64 - 1)
marks = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**45)
keys = st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=100) | st.text(max_size=20)


@FEW
@given(epochs, seqs, st.none() | marks)
def test_a_position_survives_its_text(epoch: str, seq: int, mark: int | None) -> None:
    position = Position(epoch, seq, mark)
    assert Position.parse(str(position)) == position


@FEW
@given(epochs, seqs, times, st.none() | keys)
def test_an_event_id_leads_to_its_position(epoch: str, seq: int, time_ms: int, key: str | None) -> None:
    text = format_id(epoch, seq, time_ms, key)
    assert Position.parse(text) == Position(epoch, seq, mark_of(time_ms))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text)


@FEW
@given(epochs, seqs, times, st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=80))
def test_a_key_that_fits_is_in_the_id(epoch: str, seq: int, time_ms: int, key: str) -> None:
    assert format_id(epoch, seq, time_ms, key) == f"{Position(epoch, seq, mark_of(time_ms))}.{key}"


@FEW
@given(times, st.integers(-(2**31), 2**31 - 1))
def test_a_time_is_found_again_from_its_mark(now: int, away: int) -> None:
    assert time_near(mark_of(now + away), now) == now + away


@FEW
@given(marks, times)
def test_no_time_with_that_mark_is_nearer(mark: int, now: int) -> None:
    found = time_near(mark, now)
    assert found % 2**32 == mark
    assert abs(found - now) <= min(abs(found + 2**32 - now), abs(found - 2**32 - now))


@FEW
@given(st.text(max_size=140) | st.from_regex(r"\A[a-z0-9]{7,9}-[0-9]{1,21}(-[0-9a-z]{0,8})?(\.[\x20-\x7e]*)?\Z"))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    try:
        position = Position.parse(text)
    except SlipstreamError:
        return
    # What is taken is canonical: the text begins with it and only a key may follow.
    assert text == str(position) or text.startswith(f"{position}.")
    assert len(text) <= 128
    assert 0 <= position.seq < 2**64
    assert position.mark is None or 0 <= position.mark < 2**32
