"""The memory of authorizers' answers against a plain list of all that were ever given."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from slipstream.auth.authorizer import Answers

MOST = 6
TENANTS = ("a", "b", "c")
KEYS = (b"1", b"2", b"3", b"4")


class Memory(RuleBasedStateMachine):
    """What is found was the last that was said, within its time; what a tenant may hold is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = Answers(MOST)
        self.now = 0.0
        self.said: dict[tuple[str, bytes], tuple[bool, float, float]] = {}

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(tenant=st.sampled_from(TENANTS), key=st.sampled_from(KEYS), allow=st.booleans(), life=st.integers(0, 60))
    def keep(self, tenant: str, key: bytes, allow: bool, life: int) -> None:  # noqa: FBT001 - drawn by name
        self.answers.keep(tenant, key, allow, self.now, self.now + life)
        self.said[tenant, key] = (allow, self.now, self.now + life)
        if life:
            assert self.answers.find(tenant, key, self.now, 1) is allow, "the newest is never the one to go"

    @rule(tenant=st.sampled_from(TENANTS), key=st.sampled_from(KEYS), cache=st.sampled_from([0, 1, 10, 30]))
    def find(self, tenant: str, key: bytes, cache: int) -> None:
        found = self.answers.find(tenant, key, self.now, cache)
        if found is not None:
            allow, at, ends = self.said[tenant, key]
            assert found is allow
            assert self.now - at < cache
            assert self.now < ends

    @invariant()
    def it_is_bounded_and_nobody_falls_below_a_fair_share(self) -> None:
        assert len(self.answers) <= MOST
        held = {tenant: self.answers._given.held(tenant) for tenant in TENANTS}
        assert sum(held.values()) == len(self.answers)
        for tenant in TENANTS:
            distinct = sum(1 for name, _ in self.said if name == tenant)
            assert held[tenant] >= min(distinct, MOST // len(TENANTS))


Memory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = Memory.TestCase
