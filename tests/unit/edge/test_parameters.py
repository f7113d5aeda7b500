from itertools import chain

import pytest

from slipstream.edge.authorize import URL_PARAMETER
from slipstream.edge.parameters import KNOWN, refuse_misspelt
from slipstream.edge.redeem import TICKET_PARAMETER
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.retry import PARAMETER


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("topics", "topic"),
        ("Topic", "topic"),
        ("topic[]", "topic"),
        ("tennant", "tenant"),
        ("tenantId", "tenant"),
        ("lastEventId", "last_event_id"),
        ("last-event-id", "last_event_id"),
        ("lasteventid", "last_event_id"),
        ("accessToken", "access_token"),
        ("retry-preferences", "retry_preferences"),
        ("limits", "limit"),
    ],
)
def test_a_slip_is_refused_and_what_was_meant_is_named(name: str, meant: str) -> None:
    with pytest.raises(SlipstreamError) as refused:
        refuse_misspelt(["tenant", name])
    assert refused.value.code is Code.BAD_REQUEST
    assert refused.value.message == f"{name!r} is not a parameter: did you mean {meant}?"


def test_ours_are_never_refused() -> None:
    assert {URL_PARAMETER, TICKET_PARAMETER, PARAMETER} < KNOWN
    for name in KNOWN:
        # One that others add besides, so that each is looked at.
        refuse_misspelt([name, "_"])
        refuse_misspelt([name])


@pytest.mark.parametrize(
    "name",
    [
        *("_", "t", "ts", "v", "", "token", "nocache", "utm_source", "utm_campaign", "fbclid", "gclid", "sid"),
        *("session", "transport", "callback", "format", "id", "key", "page", "size", "lang", "\ud800", "topic" * 9),
    ],
)
def test_what_others_add_passes(name: str) -> None:
    refuse_misspelt(["topic", name])


def test_a_flood_of_names_costs_a_few_looks() -> None:
    asked = []

    class Name(str):
        __slots__ = ()

        def lower(self) -> str:
            asked.append(self)
            return super().lower()

    refuse_misspelt(chain(["topic"], (Name(f"x{number}") for number in range(10_000))))
    assert len(asked) <= 16
