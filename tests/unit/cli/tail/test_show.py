"""What `tail` prints and saves."""

import json
import re

import pytest

from slipstream.cli.tail.show import Envelope, document, line, summary
from slipstream.client import Counters, Message

CLOCK = "12:34:56.789"
EVENT = Message("k3v9x2ab-7-1z", "quake", '{"place":"東京"}')


def test_text_has_time_id_topic_name_and_data() -> None:
    assert line(EVENT, CLOCK, colour=False) == f'{CLOCK}  k3v9x2ab-7-1z  quake  {{"place":"東京"}}'
    assert line(EVENT, CLOCK, "quakes.jp", colour=False).split("  ")[1:4] == ["k3v9x2ab-7-1z", "quakes.jp", "quake"]


def test_colours_change_nothing_else() -> None:
    coloured = line(EVENT, CLOCK, "a.b", colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == line(EVENT, CLOCK, "a.b", colour=False)


def test_json_is_one_object_a_line() -> None:
    text = document(Message("k3v9x2ab-7", "quake", "two\nlines"), "2026-11-24T12:00:00.000Z", "a.b")
    assert "\n" not in text
    assert json.loads(text) == {
        "id": "k3v9x2ab-7",
        "topic": "a.b",
        "event": "quake",
        "received": "2026-11-24T12:00:00.000Z",
        "data": "two\nlines",
    }


def test_an_envelope_tells_topic_and_time_and_gives_the_data_as_it_was_published() -> None:
    cloud = {"specversion": "1.0", "id": "1", "subject": "quakes.jp", "time": "2026-11-24T12:00:00Z"}
    opened = Envelope.open(json.dumps({**cloud, "data": {"place": "東京"}}))
    assert opened == ("quakes.jp", "2026-11-24T12:00:00Z", '{"place":"東京"}')
    assert Envelope.open(json.dumps({**cloud, "data": "plain"})).data == "plain"


@pytest.mark.parametrize("data", ["", "plain", "[1]", '{"data":1}', "[" * 100_000])
def test_what_is_no_envelope_stays_as_it_is(data: str) -> None:
    assert Envelope.open(data) == (None, None, data)


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[2J", "\x9b2J", "\r", "a\u2028b", "\u202eabc"])
def test_an_event_cannot_move_the_cursor(hostile: str) -> None:
    assert line(Message("k3v9x2ab-7", hostile, hostile), CLOCK, hostile, colour=False).isprintable()


def test_the_summary_counts() -> None:
    counters = Counters(connects=3, resumes=2, gaps=1, events=1_200, failures=4)
    assert summary(counters, 1_200, 10.0, "k3v9x2ab-7", ordered=True) == (
        "1,200 events in 10.0 s (120.0/s), in order; gaps told: 1; reconnects: 2; failed attempts: 4;"
        " last id: k3v9x2ab-7"
    )
    assert "NOT in order; shown: 7; gaps" in summary(counters, 7, 10.0, "", ordered=False)
    assert "reconnects: 0" in summary(Counters(), 0, 0.0, "", ordered=True)
