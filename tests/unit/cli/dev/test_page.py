"""The page stands alone: nothing from elsewhere, nothing of an event read as HTML."""

import re
from importlib.resources import files
from pathlib import Path

from slipstream.demo import earthquakes, flights
from slipstream.protocol import control

PAGE = files("slipstream.cli").joinpath("page.html").read_text(encoding="utf-8")


def test_loads_nothing_from_elsewhere() -> None:
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>)]+", PAGE))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of SVG is no address that is asked"
    assert "default-src 'none'" in PAGE
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=\"(?!data:)", PAGE)


def test_never_makes_html_of_text() -> None:
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in PAGE


def test_listens_for_every_control_event_of_the_protocol_and_every_name_of_the_demonstration() -> None:
    names = set(re.findall(r'"(stream\.[a-z]+)"', Path(control.__file__).read_text(encoding="utf-8")))
    assert len(names) >= 6
    assert names == set(re.findall(r'"(stream\.[a-z]+)"', PAGE))
    listed = re.search(r'id="names" value="([^"]*)"', PAGE)
    assert listed is not None
    assert {event["event"] for feed in (flights, earthquakes) for event in feed()} <= set(listed[1].split())


def test_tells_a_servers_error_from_a_lost_connection_by_its_data() -> None:
    assert "event.data !== undefined" in PAGE
