"""The built-in hooks: what they do to an event, and what config they refuse."""

from typing import Any

import pytest

from slipstream.shape.event import Context, Event, SecretMissing
from slipstream.shape.hooks import BUILT_IN, drop, sign
from slipstream.shape.signature import signer
from tests.unit.shape.keys import SHARED

EVENT = Event("abcdefgh-7-0", "flights.HNL.SFO", "delayed", 0, b'{"delay":95}')


def context(config: dict[str, Any]) -> Context:
    def secret(name: str) -> bytes:
        if name != "signing":
            raise SecretMissing(f"there is no secret {name}")
        return SHARED

    return Context("acme", config, secret)


def test_sign_adds_a_signature_and_changes_nothing_else() -> None:
    hook = sign(context({"alg": "HS256", "kid": "k1", "secret": "signing"}))
    signed = hook(EVENT)
    assert signed == EVENT._replace(signature=signer("HS256", "k1", SHARED)(EVENT))


def test_a_secret_that_is_not_there_is_told() -> None:
    with pytest.raises(SecretMissing, match="no secret other"):
        sign(context({"alg": "HS256", "kid": "k1", "secret": "other"}))


def test_drop_answers_none_when_all_conditions_hold_and_else_the_event_itself() -> None:
    when = [{"topic": "flights.>"}, {"pointer": "/delay", "greater": 60}]
    hook = drop(context({"when": when}))
    assert hook(EVENT) is None
    for other in (EVENT._replace(topic="quakes.us"), EVENT._replace(data=b'{"delay":5}'), EVENT._replace(data=b"{")):
        assert hook(other) is other


def test_a_filter_on_topics_alone_never_reads_the_data() -> None:
    assert drop(context({"when": [{"topic": "flights.>"}]}))(EVENT._replace(data=b"{")) is None


@pytest.mark.parametrize(
    ("name", "config", "fault"),
    [
        ("sign", {}, "alg: Field required; secret: Field required; kid: Field required"),
        ("sign", {"alg": "none", "kid": "k", "secret": "signing"}, "alg: Input should be 'HS256'"),
        ("sign", {"alg": "HS256", "kid": "a:b", "secret": "signing"}, "kid: "),
        ("sign", {"alg": "HS256", "kid": "k", "secret": "signing", "x": 1}, "x: "),
        ("sign", {"alg": "ES256", "kid": "k", "secret": "signing"}, "no private key for ES256"),
        ("drop", {}, "when: Field required"),
        ("drop", {"when": []}, "when: "),
        ("drop", {"when": [{"event": "x"}] * 17}, "when: "),
        ("drop", {"when": [{"pointer": "a", "exists": True}]}, r"^when\.0\.pointer: a JSON pointer [^;]*$"),
    ],
)
def test_a_config_that_cannot_work_is_refused_in_one_line(name: str, config: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        BUILT_IN[name](context(config))
    assert "\n" not in str(caught.value)
