"""What a told loss and a refusal say, and what to do."""

import pytest

from slipstream.cli.tail.advice import GAP_ADVICE, failure, gap_line, refusal
from slipstream.protocol import control
from slipstream.protocol.control import Gap, Reason
from slipstream.protocol.errors import CATALOGUE, Code
from slipstream.protocol.position import Position


@pytest.mark.parametrize(("certain", "says"), [(True, "ARE missing"), (False, "MAY be missing")])
def test_a_gap_says_what_is_missing_and_where_it_goes_on(*, certain: bool, says: str) -> None:
    place = Position("k3v9x2ab", 41)
    frame = control.gap(place, Gap(Reason.expired, "k3v9x2ab-3", place, certain))
    data = frame.decode().partition("data: ")[2].strip()
    where = "after k3v9x2ab-3; goes on after k3v9x2ab-41"
    told = gap_line(data)
    assert told.startswith(f"GAP (expired, SSE_HISTORY_EXPIRED): events {says} {where}. What to do: ")
    assert "retention.max_age" in told


def test_there_is_advice_for_every_reason() -> None:
    assert set(GAP_ADVICE) == set(Reason)


@pytest.mark.parametrize("data", ["", "[]", "{}", "nonsense\x1b[2J"])
def test_a_gap_of_another_shape_is_told_all_the_same(data: str) -> None:
    told = gap_line(data)
    assert told.startswith("GAP: events are missing")
    assert told.isprintable()


def test_a_gap_of_a_reason_that_is_not_known_has_no_advice() -> None:
    told = gap_line('{"reason":"other","code":"SSE_OTHER","certain":true,"requested":null,"from":null}')
    assert told == "GAP (other, SSE_OTHER): events ARE missing after this place; goes on after it"


@pytest.mark.parametrize("code", list(Code))
def test_a_refusal_says_what_to_do(code: Code) -> None:
    assert refusal(code, "because", 400) == f"refused: 400 {code}: because. {CATALOGUE[code].fix}"


def test_who_has_no_token_is_told_how_to_give_one() -> None:
    assert refusal("SSE_UNAUTHORIZED", "no token", 401).endswith("Give it by --token or SLIPSTREAM_TOKEN.")
    assert refusal("", "Unauthorized", 401) == "refused: 401: Unauthorized. Give it by --token or SLIPSTREAM_TOKEN."


def test_a_strangers_refusal_is_told_as_it_is() -> None:
    assert refusal("", "Gone\x1b[2J", 410) == "refused: 410: Gone\\u001b[2J"
    assert refusal("SSE_LATER", "new", 409) == "refused: 409 SSE_LATER: new"


def test_a_404_of_no_edge_says_what_the_url_is() -> None:
    assert (
        refusal("", "Not Found", 404)
        == "refused: 404: Not Found. The URL is the server's root, as http://127.0.0.1:8080."
    )
    assert "root" not in refusal("SSE_NOT_FOUND", "no such tenant", 404)


def test_a_failure_is_told_as_it_is() -> None:
    assert failure("OSError: away; again in 1 s") == "OSError: away; again in 1 s"
