"""The circuit breaker under any order of calls that begin, end well, fail, or are given up."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slipstream.resilience.breaker import Breaker

THRESHOLD, BASE, CAP = 3, 1.0, 8.0


class Calls(RuleBasedStateMachine):
    """Against a model: how many failed in a row, until when nobody may try, and who is trying."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(THRESHOLD, BASE, CAP)
        self.now = 0.0
        self.row = 0
        self.until = 0.0
        self.trying: int | None = None
        self.flying: list[int] = []
        self.begun = 0

    @property
    def open(self) -> bool:
        return self.row >= THRESHOLD

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0, CAP, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        expected = not self.open or (self.now >= self.until and self.trying is None)
        assert self.breaker.admits(self.now) == expected
        if expected:
            self.begun += 1
            self.flying.append(self.begun)
            if self.open:
                self.trying = self.begun

    @precondition(lambda self: bool(self.flying))
    @rule(which=st.integers(0, 9))
    def succeed(self, which: int) -> None:
        self.flying.pop(which % len(self.flying))
        self.breaker.succeeded()
        self.row, self.trying = 0, None

    @precondition(lambda self: bool(self.flying))
    @rule(which=st.integers(0, 9), roll=st.sampled_from([0.0, 0.25, 0.999]))
    def fail(self, which: int, roll: float) -> None:
        self.flying.pop(which % len(self.flying))
        refused = self.breaker.refuses(self.now)
        self.breaker.failed(self.now, roll)
        if refused:
            return
        self.row, self.trying = self.row + 1, None
        if self.open:
            self.until = self.now + min(CAP, BASE * 2.0 ** (self.row - THRESHOLD)) * (0.5 + 0.5 * roll)

    @precondition(lambda self: self.trying in self.flying)
    @rule()
    def give_up(self) -> None:
        assert self.trying is not None
        self.flying.remove(self.trying)
        self.trying = None
        self.breaker.abandoned()

    @invariant()
    def it_is_open_only_after_failures_in_a_row_and_never_for_longer_than_the_cap(self) -> None:
        assert self.breaker.refuses(self.now) == (self.open and self.now < self.until)
        assert self.breaker.pause(self.now) == (max(0.0, self.until - self.now) if self.open else 0.0)
        assert self.breaker.pause(self.now) < CAP


Calls.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = Calls.TestCase
