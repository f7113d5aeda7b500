"""What is remembered of each tenant, against a plain list of all that was kept."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from slipstream.auth.remembered import Remembered

MOST = 6
TENANTS = ("a", "b", "c")
KEYS = st.integers(0, 9)


def name(tenant: str, number: int) -> bytes:
    return f"{tenant}-{number}".encode()


class Memory(RuleBasedStateMachine):
    """What is found was kept last; what a tenant may have is its own; what was used longest ago goes first."""

    def __init__(self) -> None:
        super().__init__()
        self.remembered: Remembered[bytes, int] = Remembered(MOST)
        self.kept: dict[bytes, int] = {}
        self.count = 0

    @rule(tenant=st.sampled_from(TENANTS), number=KEYS)
    def keep(self, tenant: str, number: int) -> None:
        self.count += 1
        key = name(tenant, number)
        self.remembered.keep(tenant, key, self.count)
        self.kept[key] = self.count
        assert self.remembered.find(key) == self.count, "the newest is never the one to go"

    @rule(tenant=st.sampled_from(TENANTS), number=KEYS)
    def find(self, tenant: str, number: int) -> None:
        key = name(tenant, number)
        assert self.remembered.find(key) in (None, self.kept.get(key))

    @rule(tenant=st.sampled_from(TENANTS), number=KEYS)
    def drop(self, tenant: str, number: int) -> None:
        key = name(tenant, number)
        self.remembered.drop(key)
        self.kept.pop(key, None)
        assert self.remembered.find(key) is None

    @rule(tenant=st.sampled_from(TENANTS), number=KEYS)
    def use_before_another(self, tenant: str, number: int) -> None:
        key = name(tenant, number)
        if self.remembered.find(key) is not None and len(self.remembered._used[tenant]) > 1:
            self.keep(tenant, 99)
            assert self.remembered.find(key) is not None, "it was used a moment ago"

    @invariant()
    def it_is_bounded_and_the_books_are_right(self) -> None:
        used = {key: tenant for tenant, keys in self.remembered._used.items() for key in keys}
        assert used == {key: tenant for key, (tenant, _) in self.remembered._values.items()}
        assert len(self.remembered) <= MOST
        assert all(self.remembered._used.values())


Memory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = Memory.TestCase


def test_who_has_no_more_than_its_part_loses_nothing() -> None:
    remembered: Remembered[bytes, int] = Remembered(MOST)
    for number in range(MOST // len(TENANTS)):
        for tenant in TENANTS[:2]:
            remembered.keep(tenant, name(tenant, number), number)
    for number in range(100):
        remembered.keep("c", name("c", number), number)
    for number in range(MOST // len(TENANTS)):
        for tenant in TENANTS[:2]:
            assert remembered.find(name(tenant, number)) == number


def test_what_is_kept_again_is_the_newest_and_belongs_to_who_kept_it_last() -> None:
    remembered: Remembered[bytes, int] = Remembered(2)
    for number in (1, 2, 1, 3):
        remembered.keep("a", name("a", number), number)
    assert [remembered.peek(name("a", number)) for number in (1, 2, 3)] == [1, None, 3]
    remembered.keep("b", name("a", 1), 7)
    assert remembered.peek(name("a", 1)) == 7
    assert (remembered.held("a"), remembered.held("b"), remembered.held("c"), len(remembered)) == (1, 1, 0, 2)


def test_to_find_is_to_use_and_to_peek_is_not() -> None:
    remembered: Remembered[bytes, int] = Remembered(2)
    for number in (1, 2):
        remembered.keep("a", name("a", number), number)
    assert remembered.find(name("a", 1)) == remembered.peek(name("a", 1)) == 1
    assert remembered.peek(name("a", 2)) == 2
    remembered.keep("a", name("a", 3), 3)
    assert [remembered.peek(name("a", number)) for number in (1, 2, 3)] == [1, None, 3]
