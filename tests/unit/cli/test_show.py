"""What `tail` prints."""

import json
import re

import pytest

from slipstream.cli.tail.show import Form, gap_line, line, summary
from slipstream.client import Counters, Message
from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.position import Position

CLOCK = "12:34:56.789"
EVENT = Message("k3v9x2ab-7-1z", "quake", '{"place":"東京"}')


def test_text_has_time_id_name_and_data() -> None:
    assert line(EVENT, Form.text, CLOCK, colour=False) == f'{CLOCK}  k3v9x2ab-7-1z  quake  {{"place":"東京"}}'


def test_colours_change_nothing_else() -> None:
    coloured = line(EVENT, Form.text, CLOCK, colour=True)
    assert coloured is not None
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == line(EVENT, Form.text, CLOCK, colour=False)


def test_raw_is_the_data_alone_and_no_gap() -> None:
    assert line(EVENT, Form.raw, CLOCK, colour=True) == EVENT.data
    assert line(Message("k3v9x2ab-7", "stream.gap", "{}"), Form.raw, CLOCK, colour=True) is None


def test_json_is_one_object_a_line() -> None:
    text = line(Message("k3v9x2ab-7", "quake", "two\nlines"), Form.json, CLOCK, colour=True)
    assert text is not None
    assert "\n" not in text
    assert json.loads(text) == {"id": "k3v9x2ab-7", "event": "quake", "data": "two\nlines"}


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[2J", "\x9b2J", "\r", "a\u2028b", "\u202eabc"])
def test_an_event_cannot_move_the_cursor(hostile: str) -> None:
    text = line(Message("k3v9x2ab-7", hostile, hostile), Form.text, CLOCK, colour=False)
    assert text is not None
    assert text.isprintable()


@pytest.mark.parametrize(("certain", "says"), [(True, "ARE missing"), (False, "MAY be missing")])
def test_a_gap_says_what_is_missing_and_where_it_goes_on(*, certain: bool, says: str) -> None:
    place = Position("k3v9x2ab", 41)
    frame = control.gap(place, Gap(Reason.expired, "k3v9x2ab-3", place, certain))
    data = frame.decode().partition("data: ")[2].strip()
    shown = gap_line(data, colour=False)
    where = "after k3v9x2ab-3; goes on after k3v9x2ab-41"
    assert shown == f"!!! GAP (expired, SSE_HISTORY_EXPIRED): events {says} {where}"
    assert shown[4:] in gap_line(data, colour=True)
    assert line(Message("k3v9x2ab-41", "stream.gap", data), Form.text, CLOCK, colour=False) == shown


@pytest.mark.parametrize("data", ["", "[]", "{}", "nonsense\x1b[2J"])
def test_a_gap_of_another_shape_is_told_all_the_same(data: str) -> None:
    shown = gap_line(data, colour=False)
    assert shown.startswith("!!! GAP: events are missing")
    assert shown.isprintable()


def test_the_summary_counts() -> None:
    counters = Counters(connects=3, resumes=2, gaps=1, events=1_200, failures=4)
    assert summary(counters, 10.0, "k3v9x2ab-7", ordered=True) == (
        "1,200 events in 10.0 s (120.0/s), in order; gaps told: 1; reconnects: 2; failed attempts: 4;"
        " last id: k3v9x2ab-7"
    )
    assert "NOT in order" in summary(counters, 10.0, "", ordered=False)
    assert "reconnects: 0" in summary(Counters(), 0.0, "", ordered=True)
