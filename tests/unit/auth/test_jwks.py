"""The rules of the key cache, step by step with time passed in."""

from slipstream.auth.jwk import KeySet
from slipstream.auth.jwks import COOLDOWN, FRESH, STALE, Do, Jwks, Verdict
from tests.tokens import ec_key, jwk

KEY, NEXT = ec_key(), ec_key(1)
KID, NEXT_KID = jwk(KEY)["kid"], jwk(NEXT)["kid"]


def keys(*of: object) -> KeySet:
    return KeySet(jwk(one) for one in of)  # type: ignore[arg-type]


def read(at: float = 0.0) -> Jwks:
    cache = Jwks()
    cache.began()
    cache.succeeded(keys(KEY), at)
    return cache


def judged(cache: Jwks, now: float, kid: str = KID, *, waited: bool = False) -> Do:
    return cache.judge(kid, "ES256", now, waited=waited).do


def test_the_first_token_waits_for_the_keys_and_all_others_with_it() -> None:
    cache = Jwks()
    assert judged(cache, 0) is Do.WAIT
    cache.began()
    assert judged(cache, 1) is Do.WAIT
    cache.succeeded(keys(KEY), 2)
    assert judged(cache, 2, waited=True) is Do.USE
    assert judged(cache, 2, NEXT_KID, waited=True) is Do.UNKNOWN


def test_keys_that_are_known_are_used_at_once_and_read_again_behind_the_scenes() -> None:
    cache = read()
    assert judged(cache, FRESH - 1) is Do.USE
    assert judged(cache, FRESH) is Do.REFRESH
    cache.began()
    assert judged(cache, FRESH) is Do.USE, "one reading at a time"
    cache.succeeded(keys(NEXT), FRESH + 1)
    assert judged(cache, FRESH + 1, NEXT_KID) is Do.USE
    assert judged(cache, FRESH + 1) is Do.WAIT, "the old key is gone"


def test_an_issuer_that_is_away_stops_nobody_whose_key_is_known() -> None:
    cache = read()
    cache.began()
    cache.failed(FRESH)
    assert judged(cache, FRESH + COOLDOWN - 1) is Do.USE, "not again at once"
    assert judged(cache, FRESH + COOLDOWN) is Do.REFRESH
    assert judged(cache, STALE - 1) is Do.REFRESH
    assert judged(cache, STALE) is Do.WAIT, "after a day nobody knows whether the key was withdrawn"


def test_without_keys_an_issuer_that_is_away_is_asked_once_in_a_cooldown() -> None:
    cache = Jwks()
    cache.began()
    cache.failed(100)
    assert cache.judge(KID, "ES256", 100, waited=True) == Verdict(Do.AWAY, seconds=COOLDOWN)
    assert cache.judge(KID, "ES256", 103) == Verdict(Do.AWAY, seconds=COOLDOWN - 3)
    assert judged(cache, 100 + COOLDOWN) is Do.WAIT


def test_a_new_key_is_looked_for_once_in_a_cooldown() -> None:
    cache = read(100)
    assert judged(cache, 101, "a") is Do.WAIT, "also right after a reading: the key may be as new"
    cache.began()
    assert judged(cache, 101, "b") is Do.WAIT, "what is read now may have this one, too"
    cache.succeeded(keys(KEY), 101)
    assert judged(cache, 101, "a", waited=True) is Do.UNKNOWN
    for number in range(20):
        assert judged(cache, 102, f"b{number}") is Do.UNKNOWN
    assert judged(cache, 101 + COOLDOWN, "c") is Do.WAIT


def test_while_the_issuer_is_away_nothing_is_said_of_a_new_key() -> None:
    cache = read()
    assert judged(cache, 1, NEXT_KID) is Do.WAIT
    cache.began()
    cache.failed(2)
    assert judged(cache, 2, NEXT_KID, waited=True) is Do.AWAY
    assert judged(cache, 3, NEXT_KID) is Do.AWAY
    assert judged(cache, 3) is Do.USE
