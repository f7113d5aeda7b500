"""`spec.retry` in a tenant document, and what is agreed by it."""

import pytest

from slipstream.protocol.retry import Backoff, Preferences, Terms
from slipstream.tenants import Tenant, TenantError, from_json, parse_tenants, to_json
from slipstream.tenants.retry import Base, MaxAttempts, MaxJitter, Retry, negotiate
from tests.negotiation import ROWS, Row

HEAD = "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"


def policy(text: str) -> Retry:
    (tenant,) = parse_tenants(f"{HEAD}  retry: {text}\n")
    assert from_json(to_json(tenant)) == tenant
    assert tenant.spec.retry is not None
    return tenant.spec.retry


def fault(text: str) -> str:
    with pytest.raises(TenantError) as caught:
        parse_tenants(f"{HEAD}  retry: {text}\n")
    (one,) = caught.value.faults
    return one.removeprefix("document 1 ('acme'): spec.retry")


def test_there_are_as_many_rows_as_promised() -> None:
    assert len(ROWS) >= 16


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_client_leads_and_the_server_falls_back(row: Row) -> None:
    terms = negotiate(Retry.model_validate(row.policy), Preferences.parse(row.preferences), 3_000, 10)
    assert (terms.policy, str(terms.base_ms)) == (row.answer, row.base)


def test_what_is_left_out_has_a_default() -> None:
    assert Tenant.of("acme").spec.retry is None
    default = Retry()
    assert default == policy("{}") == policy("{base: , max_jitter: , max_attempts: }")
    assert default.backoff == (Backoff.exponential, Backoff.linear, Backoff.constant)
    assert (default.base, default.max_jitter) == (Base(min=100, max=60_000), MaxJitter(min=0, max=60_000))
    assert default.max_attempts == MaxAttempts(min=1, max=100)


def test_times_are_read_as_people_write_them_and_kept_in_ms() -> None:
    read = policy("{backoff: [linear], base: {min: 200ms, max: 5s}, max_jitter: {max: 250}, max_attempts: {max: 7}}")
    assert read.base == Base(min=200, max=5_000)
    assert (read.max_jitter, read.max_attempts) == (MaxJitter(max=250), MaxAttempts(max=7))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{backoff: []}", ".backoff: name one at least of exponential, linear, constant"),
        ("{backoff: [fibonacci]}", ".backoff.0: "),
        ("{backoff: linear}", ".backoff: "),
        ("{base: {min: 5s, max: 1s}}", "min (5000) is above max (1000)"),
        ("{base: {min: 1m}}", "write a time in ms or s"),
        ("{base: {min: -1}}", "greater than or equal to 0"),
        ("{base: {max: 2000.0}}", "valid integer"),
        ("{max_jitter: {max: 3601s}}", "less than or equal to 3600000"),
        ("{max_attempts: {max: 1001}}", "less than or equal to 1000"),
        ("{max_attempts: {min: 0}}", "greater than or equal to 1"),
        ("{max_attempts: {max: '7'}}", "valid integer"),
        ("{max_attempts: 7}", "mapping of fields"),
        ("{jitter: {}}", "did you mean max_jitter"),
        ("{base: {least: 1s}}", "there is no such field"),
    ],
)
def test_what_makes_no_policy_is_refused(text: str, reason: str) -> None:
    assert reason in fault(text)


def test_the_jitter_that_nobody_chose_is_what_the_pod_needs_within_the_policy() -> None:
    def jitter(live: int, preferences: str = "", **bounds: int) -> int:
        rule = Retry(max_jitter=MaxJitter(**bounds))
        return negotiate(rule, Preferences.parse(preferences), 3_000, live).max_jitter_ms

    assert [jitter(live) for live in (0, 3_000, 10_000, 50_000, 200_000)] == [1_500, 1_500, 5_000, 25_000, 60_000]
    assert jitter(50_000, max=2_000) == 2_000
    assert jitter(50_000, "max-jitter=50ms") == 50
    assert jitter(50_000, "max-jitter=50ms", min=100) == 25_000


def test_the_terms_that_nobody_chose_are_the_contracts() -> None:
    terms = negotiate(Retry(), Preferences(), 3_000, 0)
    assert terms == Terms(3_000, 1_500, Backoff.exponential, False, 5, ("408", "429", "5xx"))
