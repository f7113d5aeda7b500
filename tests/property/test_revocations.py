"""In whatever order revocations come, go and expire, tokens are refused by those that stand, and none issued later."""

from functools import cache
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.auth.claims import EVERYTHING, Token
from slipstream.auth.revocations import Kind, Revocation, Revocations

FEW = settings(derandomize=True, deadline=None, max_examples=200, database=None)
TENANTS, NAMES = ("a", "b"), ("x", "y", "z")
LIFE = 10


class Put(NamedTuple):
    revocation: Revocation


class Remove(NamedTuple):
    key: str


def revocations() -> st.SearchStrategy[Revocation]:
    def made(tenant: str, kind: Kind, name: str, at: int) -> Revocation:
        return Revocation(tenant, kind, tenant if kind is Kind.TENANT else name, at, at + LIFE)

    return st.builds(made, st.sampled_from(TENANTS), st.sampled_from(Kind), st.sampled_from(NAMES), st.integers(0, 30))


CHANGES = st.lists(
    revocations().flatmap(lambda one: st.sampled_from([Put(one), Put(one), Remove(one.key)])), max_size=30
)


@cache
def tokens(now: int) -> list[Token]:
    """Every token that is good at `now`: none lives longer than LIFE."""
    return [
        Token(subject, tenant, frozenset(), EVERYTHING, (), issued_at + LIFE, 0.0, id_, "i", issued_at)
        for tenant in TENANTS
        for subject in NAMES
        for id_ in (None, *NAMES)
        for issued_at in range(max(0, now - LIFE + 1), now + 1)
    ]


def refused(standing: dict[str, Revocation], token: Token) -> bool:
    """The rule itself, by looking at all."""
    return any(
        one.tenant == token.tenant
        and (
            (one.kind is Kind.TOKEN and one.name == token.id)
            or (one.kind is Kind.SUBJECT and one.name == token.subject and token.issued_at <= one.at)
            or (one.kind is Kind.TENANT and token.issued_at <= one.at)
        )
        for one in standing.values()
    )


def apply(table: Revocations, change: Put | Remove) -> None:
    if isinstance(change, Put):
        table.put(change.revocation)
    else:
        table.remove(change.key)


def key_of(change: Put | Remove) -> str:
    return change.revocation.key if isinstance(change, Put) else change.key


@FEW
@given(CHANGES, st.integers(0, 2**32))
def test_the_order_between_names_does_not_matter_nor_when_it_expires(changes: list[Put | Remove], seed: int) -> None:
    dice = Random(seed)
    standing: dict[str, Revocation] = {}
    for change in changes:
        standing.pop(key_of(change), None)
        if isinstance(change, Put):
            standing[key_of(change)] = change.revocation
    # Of one name the order is the bucket's; between names any.
    queues: dict[str, list[Put | Remove]] = {}
    for change in changes:
        queues.setdefault(key_of(change), []).append(change)
    table, now = Revocations(), 0
    while queues:
        key = dice.choice(sorted(queues))
        apply(table, queues[key].pop(0))
        if not queues[key]:
            del queues[key]
        if dice.random() < 0.3:
            now = min(45, now + dice.randrange(8))
            table.expire(now)
    # What was put when its time was over already, too.
    table.expire(now)
    for token in tokens(now):
        wanted = refused({key: one for key, one in standing.items() if one.until > now}, token)
        assert table.revoked(token) == wanted, (now, token)
        if token.id is None:
            assert wanted == refused(standing, token), "what expired concerns no token that is good"
    table.expire(1_000)
    assert len(table) == 0


@FEW
@given(st.lists(revocations(), max_size=20), st.integers(1, 5))
def test_none_revokes_a_token_that_was_issued_later(made: list[Revocation], later: int) -> None:
    table = Revocations()
    for one in made:
        if one.kind is not Kind.TOKEN:
            table.put(one)
    last = max((one.at for one in made), default=0)
    assert not any(table.revoked(token) for token in tokens(last + later) if token.issued_at > last)


@FEW
@given(CHANGES)
def test_a_load_is_the_same_as_all_that_led_to_it(changes: list[Put | Remove]) -> None:
    followed, loaded = Revocations(), Revocations()
    standing: dict[str, Revocation] = {}
    for change in changes:
        apply(followed, change)
        standing.pop(key_of(change), None)
        if isinstance(change, Put):
            standing[key_of(change)] = change.revocation
    loaded.put(Revocation("a", Kind.TENANT, "a", 99, 199))
    loaded.replace(standing)
    for token in tokens(20):
        assert followed.revoked(token) == loaded.revoked(token)
    assert all(followed.newest(tenant, 99) == loaded.newest(tenant, 99) for tenant in TENANTS)
