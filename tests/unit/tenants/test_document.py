"""Tenant documents: what is a tenant, what is refused, and in which words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slipstream.tenants import Retention, Tenant, TenantError, TenantSpec, from_json, parse_tenants, to_json

HEAD = "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\n"
FULL = (
    HEAD
    + """\
metadata:
  name: acme
spec:
  retention: {max_age: 24h, max_bytes: 1GiB}
  replicas: 3
  event_bytes: 64KiB
  topics_per_stream: 8
  replay_events: 1000
"""
)


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(TenantError) as caught:
        parse_tenants(text)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def test_a_full_document() -> None:
    spec = TenantSpec(
        retention=Retention(max_age=86_400, max_bytes=1_073_741_824),
        replicas=3,
        event_bytes=65_536,
        topics_per_stream=8,
        replay_events=1_000,
    )
    assert parse_tenants(FULL) == [Tenant.of("acme", spec)]


@pytest.mark.parametrize("spec", ["", "spec:\n", "spec: {}\n", "spec: {retention: }\n"])
def test_an_empty_spec_is_a_working_tenant(spec: str) -> None:
    (tenant,) = parse_tenants(f"{HEAD}metadata: {{name: acme}}\n{spec}")
    assert tenant == Tenant.of("acme")
    assert tenant.spec == TenantSpec()
    assert (tenant.spec.replicas, tenant.spec.retention.max_age, tenant.spec.replay_events) == (1, None, None)


def test_several_documents_in_order_with_empty_ones_between() -> None:
    text = "---\n---\n".join(f"{HEAD}metadata: {{name: {name}}}\n" for name in ("b", "a", "c"))
    assert [tenant.name for tenant in parse_tenants(f"# tenants\n---\n{text}---\n")] == ["b", "a", "c"]


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_too(indent: int | str | None) -> None:
    document = {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {}}
    assert parse_tenants(json.dumps(document, indent=indent)) == [Tenant.of("acme")]
    assert from_json(json.dumps(document, indent=indent)) == Tenant.of("acme")


def test_what_kubernetes_gives_back_can_be_applied_again() -> None:
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "slipstream.dev/v1alpha1",
                "kind": "Tenant",
                "metadata": {
                    "name": name,
                    "namespace": "prod",
                    "labels": {"team": "x"},
                    "annotations": {},
                    "uid": "0d1f",
                    "resourceVersion": "12",
                    "generation": 2,
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                    "managedFields": [],
                    "finalizers": ["slipstream.dev/tenant"],
                },
                "spec": {},
                "status": {"conditions": []},
            }
            for name in ("acme", "beta")
        ],
    }
    assert parse_tenants(json.dumps(listed)) == [Tenant.of("acme"), Tenant.of("beta")]


def test_all_faults_of_all_documents_are_told_with_their_path() -> None:
    wrong = """\
apiVersion: slipstream.dev/v1
kind: tenant
metadata: {name: acme, lables: {}}
spec:
  retention: {max_age: 1x, max_bytes: true, maxage: 5}
  replicas: 6
  replay_events: "10"
  flavour: red
---
hello
---
metadata: [acme]
"""
    assert faults(wrong) == (
        "document 1 ('acme'): apiVersion: it should be 'slipstream.dev/v1alpha1'",
        "document 1 ('acme'): kind: it should be 'Tenant'",
        "document 1 ('acme'): metadata.lables: there is no such field; there are name",
        "document 1 ('acme'): spec.retention.max_age: write a duration as seconds or like 90m, 24h, 7d, 1d12h",
        "document 1 ('acme'): spec.retention.max_bytes: it should be a valid integer",
        "document 1 ('acme'): spec.retention.maxage: there is no such field; did you mean max_age?",
        "document 1 ('acme'): spec.replicas: it should be less than or equal to 5",
        "document 1 ('acme'): spec.replay_events: it should be a valid integer",
        (
            "document 1 ('acme'): spec.flavour: there is no such field; there are retention, replicas, event_bytes, "
            "topics_per_stream, replay_events, compression, publish, quotas, retry, cors, ordered, event_key, masking, "
            "hooks, issuers, authorizer, access_token_in_url"
        ),
        "document 2: 'hello' is no document: begin with apiVersion, kind and metadata",
        "document 3: apiVersion: it is missing",
        "document 3: kind: it is missing",
        "document 3: metadata: it should be a mapping of fields",
    )


@pytest.mark.parametrize("name", ["Acme", "-acme", "acme-", "a.b", "a" * 64, "ä", "''", "a_b", '"a\\n"'])
def test_a_name_is_a_dns_label(name: str) -> None:
    (fault,) = faults(f"{HEAD}metadata: {{name: {name}}}")
    assert "metadata.name: " in fault
    assert "is not a tenant's name" in fault


@pytest.mark.parametrize(
    "spec",
    [
        "retention: {max_age: 119}",
        "retention: {max_age: 3651d}",
        "retention: {max_bytes: 1023}",
        "retention: {max_bytes: -1}",
        "replicas: 0",
        "replicas: 2.0",
        "replicas: yes",
        "event_bytes: 0",
        "event_bytes: 9MiB",
        "topics_per_stream: 0",
        "topics_per_stream: 1001",
        "replay_events: 0",
    ],
)
def test_a_value_out_of_bounds_is_refused(spec: str) -> None:
    (fault,) = faults(f"{HEAD}metadata: {{name: acme}}\nspec: {{{spec}}}\n")
    assert fault.startswith(f"document 1 ('acme'): spec.{spec.partition(':')[0]}")


def test_a_name_given_twice_is_refused() -> None:
    one = f"{HEAD}metadata: {{name: acme}}\n"
    assert faults(f"{one}---\n{one}") == (
        "document 2 ('acme'): metadata.name: an earlier document has this name; remove one",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no document"),
        ("---\n---\n", "no document"),
        ("{", "not YAML or JSON"),
        ("kind: Tenant\nkind: Tenant\n", "the key 'kind' is there twice"),
        ("a: {b: 1, b: 2}", "the key 'b' is there twice"),
        ("a: !!python/object/apply:os.getpid []", "not YAML or JSON"),
        ("? [1]\n: 2\n", "unhashable"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("[" * 500, "recursion"),
    ],
)
def test_a_text_without_documents_is_refused(text: str, reason: str) -> None:
    (fault,) = faults(text)
    assert reason in fault


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null", b'"acme"'])
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    with pytest.raises(TenantError, match=r"not JSON|is no document"):
        from_json(data)


def test_the_canonical_form() -> None:
    assert to_json(Tenant.of("acme")) == (
        b'{"apiVersion":"slipstream.dev/v1alpha1","kind":"Tenant","metadata":{"name":"acme"},'
        b'"spec":{"access_token_in_url":false,"event_key":{"config":{},"strategy":"sequence"},"hooks":[],'
        b'"issuers":[],"masking":[],"ordered":false,"publish":{"idempotency":"optional"},"quotas":{},'
        b'"replicas":1,"retention":{}}}'
    )
    (full,) = parse_tenants(FULL)
    assert to_json(full).endswith(
        b'"publish":{"idempotency":"optional"},"quotas":{},"replay_events":1000,"replicas":3,'
        b'"retention":{"max_age":86400,"max_bytes":1073741824},"topics_per_stream":8}}'
    )


def maybe(low: int, high: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(low, high)


TENANTS = st.builds(
    Tenant.of,
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.builds(
        TenantSpec,
        retention=st.builds(Retention, max_age=maybe(120, 86_400), max_bytes=maybe(1_024, 2**62)),
        replicas=st.integers(1, 5),
        event_bytes=maybe(1, 8 * 2**20),
        topics_per_stream=maybe(1, 1_000),
        replay_events=maybe(1, 100_000_000),
    ),
)


@given(TENANTS, TENANTS)
def test_equal_tenants_have_equal_bytes_and_come_back_the_same(one: Tenant, other: Tenant) -> None:
    assert from_json(to_json(one)) == one
    assert parse_tenants(to_json(one).decode()) == [one]
    assert (to_json(one) == to_json(other)) == (one == other)


def test_a_tenant_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Tenant.of("acme").spec = TenantSpec(replicas=3)  # type: ignore[misc]
