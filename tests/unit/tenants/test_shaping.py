"""Event keys, masking rules and hooks in a tenant document."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.tenants import Tenant, TenantError, TenantSpec, from_json, parse_tenants, to_json
from slipstream.tenants.fold import fold
from slipstream.tenants.shaping import EventKey, HookSpec, MaskingRule

HEAD = "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"
FULL = """\
  ordered: true
  event_key: {strategy: auto, prefix: ord}
  masking:
    - {field: phone, method: phone}
    - {field: ID-Card, method: id_card, scope: pii:full}
    - {field: name, method: hash, secret: salt}
  hooks:
    - name: drop
      config: {when: [{pointer: /a, equals: null}, {event: x, not: true}]}
    - {name: sign, config: {alg: EdDSA, kid: k1, secret: signing}}
    - {name: audit}
"""


def spec(text: str) -> TenantSpec:
    (tenant,) = parse_tenants(HEAD + text)
    assert from_json(to_json(tenant)) == tenant
    assert parse_tenants(to_json(tenant).decode()) == [tenant]
    return tenant.spec


def fault(text: str) -> str:
    with pytest.raises(TenantError) as caught:
        parse_tenants(HEAD + text)
    (one,) = caught.value.faults
    return one.removeprefix("document 1 ('acme'): spec.")


def test_a_full_document_comes_back_the_same() -> None:
    read = spec(FULL)
    assert read.ordered
    assert read.event_key == EventKey(strategy="auto", prefix="ord")
    assert read.masking == (
        MaskingRule(field="phone", method="phone", scope="pii:read"),
        MaskingRule(field="ID-Card", method="id_card", scope="pii:full"),
        MaskingRule(field="name", method="hash", scope="pii:read", secret="salt"),
    )
    assert [hook.name for hook in read.hooks] == ["drop", "sign", "audit"]
    assert read.hooks[0].config == {"when": [{"pointer": "/a", "equals": None}, {"event": "x", "not": True}]}
    assert read.hooks[2] == HookSpec(name="audit")


@pytest.mark.parametrize(
    "text", ["  event_key:\n  masking:\n  hooks:\n", "  event_key: {}\n  masking: []\n  hooks: []\n"]
)
def test_nothing_behind_a_colon_is_the_default(text: str) -> None:
    assert spec(text) == TenantSpec()


def test_a_strategy_may_be_given_by_its_name_alone() -> None:
    assert spec("  event_key: uuid\n").event_key == EventKey(strategy="uuid")
    assert spec("  hooks: [{name: audit, config: }]\n").hooks == (HookSpec(name="audit"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("event_key: a b", "event_key.strategy: 'a b' does not fit: use 1 to 64 characters of A-Z a-z 0-9 . _ -"),
        ("event_key: 5", "event_key: it should be a mapping of fields"),
        ("event_key: {strategi: uuid}", "event_key.strategi: there is no such field; did you mean strategy?"),
        ("event_key: {prefix: a.b}", "event_key.prefix: 'a.b' does not fit: use 1 to 32 characters of A-Z a-z 0-9 _ -"),
        ("ordered: 1", "ordered: it should be a valid boolean"),
        ("masking: [{method: phone}]", "masking.0.field: it is missing"),
        (
            "masking: [{field: a, method: phone, feld: b}]",
            "masking.0.feld: there is no such field; did you mean field?",
        ),
        ("masking: [{field: a.b, method: phone}]", "masking.0.field: a rule names one key, found at any depth"),
        ("masking: [{field: '$[*]', method: phone}]", "masking.0.field: a rule names one key, found at any depth"),
        ("masking: [{field: _ -, method: phone}]", "masking.0.field: a key needs a letter or a digit"),
        ("masking: [{field: '', method: phone}]", "masking.0.field: String should have at least 1 character"),
        ("masking: [{field: a, method: fone}]", "masking.0.method: it should be 'phone', 'id_card', 'email'"),
        ("masking: [{field: a, method: hash}]", "masking.0: the method hash, and no other, needs the name of a secret"),
        ("masking: [{field: a, method: phone, secret: s}]", "masking.0: the method hash, and no other, needs"),
        ("masking: [{field: a, method: phone, scope: a b}]", "masking.0.scope: 'a b' does not fit"),
        (
            "masking: [{field: Phone_No, method: phone}, {field: phoneNo, method: redact}]",
            "masking: 'phoneNo' is the same key as 'Phone_No': leave one rule",
        ),
        ("masking: {field: a}", "masking: "),
        ("hooks: [{name: a}, {nam: b, name: c}]", "hooks.1.nam: there is no such field; did you mean name?"),
        ("hooks: [{name: -a}]", "hooks.0.name: '-a' does not fit"),
        ("hooks: [{name: a, config: [1]}]", "hooks.0.config: "),
        ("hooks: [{name: a, config: {at: 2001-01-01}}]", "hooks.0.config: use what JSON has"),
        ("hooks: [{name: a, config: {x: .nan}}]", "hooks.0.config: use what JSON has"),
        ("hooks: [{name: a, config: {x: {1: 2}}}]", "hooks.0.config: use what JSON has, with strings as keys"),
        ("hooks: [{name: a, config: {x: 99999999999999999999}}]", "hooks.0.config: use what JSON has"),
        (f"hooks: [{{name: a, config: {{x: {'y' * 17_000}}}}}]", "hooks.0.config: it has 17008 bytes as JSON"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(text: str, reason: str) -> None:
    assert fault(f"  {text}\n").startswith(reason)


def listed(item: str, count: int) -> str:
    return f"[{', '.join(item.replace('N', str(number)) for number in range(count))}]"


def test_rules_hooks_and_scopes_are_bounded() -> None:
    assert len(spec(f"  masking: {listed('{field: fN, method: redact}', 64)}\n").masking) == 64
    assert "at most 64" in fault(f"  masking: {listed('{field: fN, method: redact}', 65)}\n")
    assert len(spec(f"  hooks: {listed('{name: a}', 16)}\n").hooks) == 16
    assert "at most 16" in fault(f"  hooks: {listed('{name: a}', 17)}\n")
    assert len(spec(f"  masking: {listed('{field: fN, method: redact, scope: sN}', 3)}\n").masking) == 3
    assert fault(f"  masking: {listed('{field: fN, method: redact, scope: sN}', 4)}\n") == (
        "masking: it has 4 different scopes, at most 3 are allowed: s0, s1, s2, s3"
    )


NAMES = st.from_regex(r"[a-zA-Z0-9]{1,20}", fullmatch=True)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.integers(-99, 99).map(lambda number: number / 8)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SPECS = st.builds(
    TenantSpec,
    ordered=st.booleans(),
    event_key=st.builds(
        EventKey, strategy=NAMES, prefix=st.none() | NAMES, config=st.dictionaries(NAMES, JSON, max_size=3)
    ),
    masking=st.lists(
        st.builds(MaskingRule, field=NAMES, method=st.sampled_from(["phone", "email", "redact"]), scope=st.just("a:b"))
        | st.builds(MaskingRule, field=NAMES, method=st.just("hash"), secret=NAMES),
        max_size=5,
        unique_by=lambda rule: fold(rule.field),
    ),
    hooks=st.lists(st.builds(HookSpec, name=NAMES, config=st.dictionaries(NAMES, JSON, max_size=3)), max_size=3),
)


@settings(max_examples=40)
@given(SPECS, SPECS)
def test_documents_come_back_the_same_and_differ_in_their_bytes(one: TenantSpec, other: TenantSpec) -> None:
    first, second = Tenant.of("acme", one), Tenant.of("acme", other)
    assert from_json(to_json(first)) == first
    assert parse_tenants(to_json(first).decode()) == [first]
    assert first == second or to_json(first) != to_json(second)
