"""What a token has to say, and what it then allows."""

import math
from typing import Any

import pytest

from slipstream.auth.claims import EVERYTHING, Token, read_claims
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.topic import Filter
from slipstream.tenants.issuer import Issuer
from tests.tokens import ISSUER, claims

NOW = 1_795_527_707.5
ISSUED = int(NOW)
OF = Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks")


def read(**changes: Any) -> Token:
    return read_claims(claims(NOW, **changes), OF, NOW)


def refused(**changes: Any) -> SlipstreamError:
    with pytest.raises(SlipstreamError) as caught:
        read(**changes)
    return caught.value


def test_a_token_says_who_whose_what_and_until_when() -> None:
    topics = {"subscribe": ["orders.>", "orders.new", "a.*"], "publish": []}
    assert read(scope="subscribe  pii:read", topics=topics, jti="t-1") == Token(
        subject="ada",
        tenant="acme",
        scopes=frozenset({"subscribe", "pii:read"}),
        subscribe=(Filter("a.*"), Filter("orders.>")),
        publish=(),
        expires_at=ISSUED + 3600,
        renew_at=ISSUED + 3540,
        id="t-1",
        issuer=ISSUER,
        issued_at=ISSUED,
    )


def test_without_a_claim_of_topics_it_is_for_all_and_with_one_for_those_alone() -> None:
    assert (read().subscribe, read().publish) == (EVERYTHING, EVERYTHING)
    assert (read(topics={}).subscribe, read(topics={}).publish) == ((), ())
    assert read(topics={"publish": ["a"]}).subscribe == ()
    assert read(topics={"publish": ["a"], "later": 7}).publish == (Filter("a"),)
    assert read(topics={"subscribe": []}).subscribe == ()


@pytest.mark.parametrize(
    "topics", [[], "orders", {"subscribe": "orders"}, {"subscribe": [1]}, {"publish": ["a..b"]}, {"subscribe": [">.a"]},
               {"subscribe": [f"t{number}" for number in range(257)]}, {"subscribe": None}]
)  # fmt: skip
def test_a_claim_of_topics_that_cannot_be_understood_allows_nothing(topics: Any) -> None:
    assert refused(topics=topics).code is Code.UNAUTHORIZED


def test_without_scopes_there_is_nothing_it_may_do() -> None:
    assert read(scope=None).scopes == frozenset()
    assert refused(scope=["subscribe"]).code is Code.UNAUTHORIZED


@pytest.mark.parametrize(
    "exp", ["4102444800", str(ISSUED + 60), True, ISSUED + 60.0, math.inf, [ISSUED + 60], {}, None, 10**30, 2**63]
)
def test_exp_is_an_integer_within_the_longest_life(exp: Any) -> None:
    assert refused(exp=exp).code is Code.UNAUTHORIZED


def test_it_ends_when_it_says_without_leeway() -> None:
    assert refused(iat=ISSUED - 60, exp=ISSUED).code is Code.TOKEN_EXPIRED
    assert read(iat=ISSUED - 60, exp=ISSUED + 1).expires_at == ISSUED + 1
    with pytest.raises(SlipstreamError, match="has expired"):
        read_claims(claims(NOW, iat=ISSUED - 60, exp=ISSUED + 1), OF, ISSUED + 1)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_the_clock_of_the_issuer_may_be_ahead_by_half_a_minute(name: str) -> None:
    assert read(**{name: NOW + 30})
    assert refused(**{name: NOW + 30.1}).code is Code.UNAUTHORIZED
    assert refused(**{name: "soon"}).code is Code.UNAUTHORIZED
    assert refused(**{name: True}).code is Code.UNAUTHORIZED


def test_a_life_that_is_too_long_is_refused_however_it_began() -> None:
    day = 86_400
    assert read(exp=ISSUED + day)
    assert refused(exp=ISSUED + day + 1).code is Code.UNAUTHORIZED
    assert refused(iat=ISSUED - 10, exp=ISSUED + day - 9).code is Code.UNAUTHORIZED
    assert read(iat=None, exp=ISSUED + day)
    assert refused(iat=None, exp=ISSUED + day + 2).code is Code.UNAUTHORIZED


def test_the_end_is_told_a_minute_or_a_tenth_of_the_life_before() -> None:
    assert read(exp=ISSUED + 600).renew_at == ISSUED + 540
    assert read(exp=ISSUED + 100).renew_at == ISSUED + 90
    assert read(iat=ISSUED - 90, exp=ISSUED + 10).renew_at == ISSUED


@pytest.mark.parametrize("aud", ["other", ["other"], [], None, {"slipstream": 1}, "slipstream2"])
def test_a_token_for_somebody_else_is_refused(aud: Any) -> None:
    assert refused(aud=aud).code is Code.UNAUTHORIZED


@pytest.mark.parametrize("text", ["x", "x" * 256])
def test_a_subject_and_an_id_are_as_long_as_they_may_be(text: str) -> None:
    assert (read(sub=text).subject, read(jti=text).id) == (text, text)


def test_one_of_several_audiences_is_enough() -> None:
    assert read(aud=["other", "slipstream"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("sub", None), ("sub", 7), ("sub", ""), ("sub", "x" * 257), ("iss", "https://other"), ("iss", None), ("jti", 7),
     ("tenant", None), ("tenant", "Acme"), ("tenant", "a.b"), ("tenant", ">"), ("tenant", "../acme"), ("tenant", 7)],
)  # fmt: skip
def test_what_is_missing_or_strange_is_refused_and_not_repeated(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert error.code is Code.UNAUTHORIZED
    assert error.status == 401
    assert "x" * 20 not in error.message


@pytest.mark.parametrize(
    ("iat", "issued_at"), [(None, 0), (-5, 0), (ISSUED - 0.25, ISSUED - 1), (ISSUED + 3, ISSUED + 3)]
)
def test_when_it_was_issued_is_a_whole_second(iat: float | None, issued_at: int) -> None:
    issuer = OF.model_copy(update={"max_lifetime": 2 * ISSUED})
    assert read_claims(claims(NOW, iat=iat), issuer, NOW).issued_at == issued_at
