"""What readers of each look get, and that a tenant whose document cannot be carried out shows nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from slipstream.protocol.event import Record
from slipstream.shape import key
from slipstream.shape.event import (
    Context,
    Dropped,
    Event,
    Hook,
    HookFactory,
    Outcome,
    SecretMissing,
    Undeliverable,
    Withheld,
)
from slipstream.shape.hooks import BUILT_IN
from slipstream.shape.key import KeyFactory, KeyStrategy
from slipstream.shape.look import PLAIN, Look
from slipstream.shape.mask import keyed_hash
from slipstream.shape.shaper import Shaper, make_shaper
from slipstream.tenants import Tenant, TenantSpec
from tests.unit.shape.keys import SHARED

EPOCH = "abcdefgh"
ID = "abcdefgh-7-1lom6tc"
PERSON = {"phone": "13812341234", "email": "anna@example.com", "seat": "12A"}
KEYS: dict[str, KeyFactory] = {"sequence": key.sequence, "key": key.key, "timestamp": key.timestamp, "auto": key.auto}
SECRETS = {("acme", "salt"): SHARED, ("acme", "short"): b"x" * 31}


def secrets(tenant: str, name: str) -> bytes:
    try:
        return SECRETS[tenant, name]
    except KeyError:
        raise SecretMissing(f"the tenant {tenant} has no secret {name}") from None


def shaper(
    spec: dict[str, Any],
    *,
    hooks: dict[str, HookFactory] | None = None,
    keys: dict[str, KeyFactory] | None = None,
    foreign: tuple[str, ...] = (),
) -> Shaper:
    tenant = Tenant.of("acme", TenantSpec.model_validate(spec))
    return make_shaper(tenant, secrets, {**BUILT_IN, **(hooks or {})}, KEYS | (keys or {}), foreign)


def record(data: bytes | None = None, *, business_key: str | None = None) -> Record:
    return Record(
        7, 1_700_000_000_000, "flights.HNL", "paid", json.dumps(PERSON).encode() if data is None else data, business_key
    )


def data_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, Event)
    return json.loads(outcome.data)


MASKING = [
    {"field": "phone", "method": "phone"},
    {"field": "E_Mail", "method": "email", "scope": "support"},
]


def test_a_tenant_that_asks_for_nothing_gets_its_events_as_they_are() -> None:
    made = shaper({})
    stored = record(b"just text", business_key="order-1")
    outcome = made.outcome(stored, EPOCH, made.plain)
    assert outcome == Event(ID, "flights.HNL", "paid", 1_700_000_000_000, b"just text")
    assert isinstance(outcome, Event)
    assert outcome.data is stored.data
    assert made.masked(stored, EPOCH, frozenset()) == outcome
    assert (made.plain, made.masks, made.foreign, made.faults) == (PLAIN, (frozenset(),), False, ())


def test_readers_differ_only_by_scopes_that_a_rule_asks_for() -> None:
    made = shaper({"masking": MASKING})
    assert made.masks == (
        frozenset(),
        frozenset({"pii:read"}),
        frozenset({"support"}),
        frozenset({"pii:read", "support"}),
    )
    assert made.look(["subscribe", "support", "x"], envelope=True) == Look(frozenset({"support"}), envelope=True)
    assert made.look({"subscribe"}, envelope=False) == made.plain
    assert shaper({}).look({"pii:read"}, envelope=False) == PLAIN


def test_each_scope_opens_its_own_fields_and_no_other() -> None:
    made = shaper({"masking": MASKING})
    shown = {"phone": "138****1234", "email": "a***@example.com"}
    for scopes, hidden in [
        (set(), {"phone", "email"}),
        ({"pii:read"}, {"email"}),
        ({"support"}, {"phone"}),
        ({"support", "pii:read"}, set()),
    ]:
        look = made.look(scopes, envelope=False)
        assert data_of(made.outcome(record(), EPOCH, look)) == PERSON | {name: shown[name] for name in hidden}


def test_who_may_see_everything_gets_the_very_bytes_even_of_what_is_not_json() -> None:
    made = shaper({"masking": MASKING})
    look = made.look({"support", "pii:read"}, envelope=False)
    stored = record(b"phone 13812341234")
    outcome = made.outcome(stored, EPOCH, look)
    assert isinstance(outcome, Event)
    assert outcome.data is stored.data
    assert made.outcome(stored, EPOCH, made.plain) == Withheld(
        "the data is not JSON (RFC 8259), so the fields to mask cannot be found for sure"
    )
    assert made.counts == {"withheld_masking": 1}


def test_a_look_from_before_the_document_changed_opens_nothing_more() -> None:
    made = shaper({"masking": MASKING})
    old = Look(frozenset({"admin", "support"}), envelope=False)
    assert data_of(made.outcome(record(), EPOCH, old)) == PERSON | {"phone": "138****1234"}


def test_a_hash_is_made_with_the_secret_that_the_rule_names() -> None:
    made = shaper({"masking": [{"field": "phone", "method": "hash", "secret": "salt"}]})
    hashed = keyed_hash(SHARED)("13812341234")
    assert data_of(made.outcome(record(), EPOCH, made.plain)) == PERSON | {"phone": hashed}


def test_what_is_stored_and_is_no_event_is_undeliverable_in_every_look() -> None:
    broken = Record(7, 1, "a", "", b"", fault="not UTF-8")
    for made in (
        shaper({}),
        shaper({"masking": MASKING}),
        shaper({"hooks": [{"name": "x"}]}, foreign=("x",)),
        shaper({"hooks": [{"name": "unknown"}]}),
    ):
        assert made.outcome(broken, EPOCH, made.plain) == Undeliverable()
        assert made.counts == {"undeliverable": 1}


def seen(events: list[Event]) -> HookFactory:
    def factory(_context: Context) -> Hook:
        def hook(event: Event) -> Event:
            events.append(event)
            return event._replace(data=event.data + b" ")

        return hook

    return factory


def test_hooks_see_what_the_reader_would_see() -> None:
    events: list[Event] = []
    made = shaper({"masking": MASKING, "hooks": [{"name": "look"}]}, hooks={"look": seen(events)})
    outcome = made.outcome(record(), EPOCH, made.plain)
    (event,) = events
    assert data_of(event) == PERSON | {"phone": "138****1234", "email": "a***@example.com"}
    assert outcome == event._replace(data=event.data + b" ")


def test_what_masking_withholds_no_hook_sees() -> None:
    events: list[Event] = []
    made = shaper({"masking": MASKING, "hooks": [{"name": "look"}]}, hooks={"look": seen(events)})
    assert isinstance(made.outcome(record(b"text"), EPOCH, made.plain), Withheld)
    assert events == []


def test_drop_and_a_failing_hook_are_counted() -> None:
    made = shaper({"hooks": [{"name": "drop", "config": {"when": [{"event": "paid"}]}}]})
    assert made.outcome(record(), EPOCH, made.plain) == Dropped()
    assert made.counts == {"dropped": 1}

    def failing(_context: Context) -> Hook:
        return lambda event: event._replace(id="")

    made = shaper({"hooks": [{"name": "bad"}]}, hooks={"bad": failing})
    assert made.outcome(record(), EPOCH, made.plain) == Withheld(
        "the hook bad answered an event with another id, topic or time"
    )
    assert made.counts == {"withheld_hook": 1}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"hooks": [{"name": "audit"}]}, "hook audit: no package has it"),
        (
            {"hooks": [{"name": "sign", "config": {"alg": "HS256", "kid": "k", "secret": "gone"}}]},
            "hook sign: the tenant acme has no secret gone",
        ),
        ({"hooks": [{"name": "drop"}]}, "hook drop: when: Field required"),
        (
            {"masking": [{"field": "phone", "method": "hash", "secret": "gone"}]},
            "masking phone: the tenant acme has no secret gone",
        ),
        (
            {"masking": [{"field": "phone", "method": "hash", "secret": "short"}]},
            "masking phone: the secret short has 31 bytes; use at least 32",
        ),
    ],
)
def test_a_tenant_whose_document_cannot_be_carried_out_shows_nothing_and_says_why(
    spec: dict[str, Any], fault: str
) -> None:
    made = shaper(spec)
    (told,) = made.faults
    assert told.startswith(fault)
    for scopes in ((), ("pii:read",)):
        assert made.outcome(record(), EPOCH, made.look(scopes, envelope=False)) == Withheld(told)
        assert made.masked(record(), EPOCH, frozenset(scopes)) == Withheld(told)
    assert made.counts == {"withheld_faulty": 4}


def test_all_faults_are_told() -> None:
    made = shaper(
        {
            "event_key": "mine",
            "masking": [{"field": "phone", "method": "hash", "secret": "gone"}],
            "hooks": [{"name": "a"}, {"name": "b"}],
        }
    )
    assert [fault.partition(":")[0] for fault in made.faults] == ["event key mine", "masking phone", "hook a", "hook b"]


def test_a_foreign_chain_is_not_run_here_but_read_from_the_record() -> None:
    events: list[Event] = []
    spec = {"masking": MASKING, "hooks": [{"name": "look"}, {"name": "theirs"}]}
    made = shaper(spec, hooks={"look": seen(events)}, foreign=("theirs",))
    assert made.foreign
    assert made.faults == ()
    stored = record()
    masked = made.masked(stored, EPOCH, frozenset())
    assert data_of(masked)["phone"] == "138****1234"
    unanswered = Withheld("the tenant's hooks have not answered for this event")
    assert made.outcome(stored, EPOCH, made.plain) == unanswered
    answer = masked._replace(data=b"{}") if isinstance(masked, Event) else None
    assert answer is not None
    stored.shaped = {frozenset(): answer, frozenset({"support"}): Dropped(), frozenset({"pii:read"}): "tuna"}
    assert made.outcome(stored, EPOCH, made.plain) is answer
    assert made.outcome(stored, EPOCH, made.plain._replace(envelope=True)) is answer
    assert made.outcome(stored, EPOCH, made.look({"support"}, envelope=False)) == Dropped()
    assert made.outcome(stored, EPOCH, made.look({"pii:read"}, envelope=False)) == unanswered
    assert made.outcome(stored, EPOCH, made.look({"pii:read", "support"}, envelope=False)) == unanswered
    assert made.counts == {"withheld_unanswered": 3}
    assert events == []


def test_a_foreign_chain_with_a_fault_of_our_own_is_closed_too() -> None:
    made = shaper({"hooks": [{"name": "theirs"}, {"name": "drop"}]}, foreign=("theirs",))
    stored = record()
    stored.shaped = {frozenset(): Dropped()}
    assert made.outcome(stored, EPOCH, made.plain) == Withheld("hook drop: when: Field required")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"event_key": "key"}, f"{ID}.order-1"),
        ({"event_key": {"strategy": "timestamp", "prefix": "f"}}, f"{ID}.f-1700000000000-7"),
        ({"event_key": "sequence"}, ID),
    ],
)
def test_ids_have_the_key_that_the_document_asks_for(spec: dict[str, Any], text: str) -> None:
    made = shaper(spec)
    outcome = made.outcome(record(business_key="order-1"), EPOCH, made.plain)
    assert isinstance(outcome, Event)
    assert outcome.id == text


def test_auto_knows_whether_the_tenant_is_ordered() -> None:
    made = shaper({"event_key": "auto", "ordered": True})
    outcome = made.outcome(record(), EPOCH, made.plain)
    assert isinstance(outcome, Event)
    assert outcome.id == f"{ID}.1700000000000-7"


def test_the_strategy_of_a_package_gets_its_config() -> None:
    def factory(config: Any) -> KeyStrategy:
        assert config == {"digits": 3, "prefix": None, "ordered": False}
        return lambda found, epoch: f"{epoch}.{found.seq:0{config['digits']}}"

    made = shaper({"event_key": {"strategy": "mine", "config": {"digits": 3}}}, keys={"mine": factory})
    outcome = made.outcome(record(), EPOCH, made.plain)
    assert isinstance(outcome, Event)
    assert outcome.id == f"{ID}.abcdefgh.007"


def raising(_record: Record, _epoch: str) -> str:
    raise RuntimeError


@pytest.mark.parametrize(
    ("strategy", "failed"),
    [
        (raising, 1),
        (lambda *_: "a b", 1),
        (lambda *_: "", 1),
        (lambda *_: "x" * 91, 1),
        (lambda *_: 7, 1),
        (lambda *_: None, 0),
    ],
)
def test_a_strategy_that_fails_costs_the_key_and_not_the_event(strategy: Callable[..., Any], failed: int) -> None:
    made = shaper({"event_key": "mine"}, keys={"mine": lambda _: strategy})
    outcome = made.outcome(record(business_key="order-1"), EPOCH, made.plain)
    assert isinstance(outcome, Event)
    assert outcome.id == ID
    assert made.counts["key_failed"] == failed


def refusing(_config: Any) -> KeyStrategy:
    raise ValueError("digits: it is missing")


def test_a_strategy_that_cannot_be_made_is_a_fault_and_events_pass_without_keys() -> None:
    for made, fault in (
        (shaper({"event_key": "mine"}), "event key mine: no package has it; ids have no key"),
        (
            shaper({"event_key": "mine"}, keys={"mine": refusing}),
            "event key mine: digits: it is missing; ids have no key",
        ),
    ):
        assert made.faults[0].startswith(fault)
        assert made.outcome(record(), EPOCH, made.plain) == Event(ID, *record_fields())


def record_fields() -> tuple[str, str, int, bytes]:
    stored = record()
    return stored.topic, stored.event, stored.time_ms, stored.data
