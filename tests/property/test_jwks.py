"""The key cache in any order of questions, answers, failures and silences."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slipstream.auth.jwk import KeySet
from slipstream.auth.jwks import COOLDOWN, STALE, Do, Jwks
from tests.tokens import ec_key, jwk

KEYS = [ec_key(number) for number in range(3)]
SETS = {number: KeySet([jwk(key)]) for number, key in enumerate(KEYS)}


class Cache(RuleBasedStateMachine):
    """Against a model of two facts: which key the issuer showed last, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Jwks()
        self.now = 0.0
        self.shown: tuple[int, float] | None = None
        self.begun: list[float] = []
        self.failed_at: float | None = None
        self.successes: list[float] = []

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, COOLDOWN, 300.0, 3_600.0, STALE]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(0, 2), waited=st.booleans())
    def ask(self, number: int, waited: bool) -> None:  # noqa: FBT001 - drawn by name
        verdict = self.cache.judge(jwk(KEYS[number])["kid"], "ES256", self.now, waited=waited)
        known = self.shown is not None and self.now - self.shown[1] < STALE
        if known and self.shown is not None and self.shown[0] == number:
            assert verdict.do in (Do.USE, Do.REFRESH), "a key that is known is used, come what may"
            assert verdict.key is not None
        else:
            assert verdict.key is None
            assert verdict.do in (Do.WAIT, Do.UNKNOWN, Do.AWAY)
        if verdict.do is Do.UNKNOWN:
            assert known, "without keys nobody can say that there is none of this name"
        if verdict.do is Do.AWAY:
            assert 1.0 <= verdict.seconds <= COOLDOWN
        if waited:
            assert verdict.do is not Do.WAIT, "nobody waits twice"
        if verdict.do is Do.REFRESH:
            assert not self.cache.reading
        if verdict.do in (Do.WAIT, Do.REFRESH) and not self.cache.reading:
            assert self.failed_at is None or self.now - self.failed_at >= COOLDOWN, "a failure is not repeated at once"
            self.cache.began()
            self.begun.append(self.now)

    @precondition(lambda self: self.cache.reading)
    @rule(number=st.integers(0, 2))
    def answer(self, number: int) -> None:
        self.cache.succeeded(SETS[number], self.now)
        self.shown, self.failed_at = (number, self.now), None

    @precondition(lambda self: self.cache.reading)
    @rule()
    def fail(self) -> None:
        self.cache.failed(self.now)
        self.failed_at = self.now

    @invariant()
    def the_issuer_is_not_flooded(self) -> None:
        """Of the readings in any cooldown one looks for a name, one brings the first keys, one refreshes them."""
        recent = [at for at in self.begun if self.now - at < COOLDOWN]
        assert len(recent) <= 3


Cache.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCache = Cache.TestCase
