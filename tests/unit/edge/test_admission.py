"""Whose places a request takes, and that each is given back once."""

from collections import Counter
from collections.abc import Mapping

import pytest

from slipstream.edge.admission import Admission
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.grants import subject_key, tenant_key
from slipstream.tenants.model import Quotas, Tenant, TenantSpec

ADA = subject_key("acme", "ada")
ACME = tenant_key("acme")


class OneProcess:
    """Grants of a process that is alone (or one of `living`)."""

    def __init__(self, living: int = 1) -> None:
        self.living = living
        self.used: Counter[str] = Counter()
        self.limits: dict[str, int | None] = {}

    async def enter(self, key: str, limit: int | None) -> None:
        self.limits[key] = limit
        if limit is not None and self.used[key] >= limit:
            raise SlipstreamError(Code.QUOTA_EXCEEDED, key)
        self.used[key] += 1

    def leave(self, key: str) -> None:
        assert self.used[key] > 0
        self.used[key] -= 1

    def resize(self, key: str, limit: int | None) -> None:
        self.limits[key] = limit

    def document(self) -> Mapping[str, Mapping[str, int]]:
        return {key: {"in_use": count} for key, count in self.used.items()}


def acme(**quotas: int) -> Tenant:
    return Tenant.of("acme", TenantSpec(quotas=Quotas(**quotas)))


async def test_a_stream_keeps_its_places_until_it_ends() -> None:
    grants = OneProcess()
    admission = Admission(grants)
    async with admission.enter(acme(connections=5, connections_per_subject=2), "ada") as place:
        place.kept = True
    assert grants.used == {ADA: 1, ACME: 1}
    for _ in range(2):
        place.close()
    assert not +grants.used
    assert grants.limits == {ADA: 2, ACME: 5}


async def test_without_a_stream_the_places_are_given_back() -> None:
    grants = OneProcess()
    admission = Admission(grants)
    async with admission.enter(acme(), None):
        assert grants.used == {ACME: 1}
    assert not +grants.used


async def test_a_stream_that_fails_at_the_last_moment_keeps_nothing() -> None:
    grants = OneProcess()
    admission = Admission(grants)

    async def fail() -> None:
        async with admission.enter(acme(), None) as place:
            place.kept = True
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await fail()
    assert not +grants.used


async def test_who_the_tenant_has_no_place_for_keeps_none_of_its_subject() -> None:
    grants = OneProcess()
    admission = Admission(grants)
    with pytest.raises(SlipstreamError) as refused:
        await admission.enter(acme(connections=0, connections_per_subject=2), "ada").__aenter__()
    assert refused.value.code is Code.QUOTA_EXCEEDED
    assert not +grants.used


async def test_subjects_are_not_counted_where_nobody_is_known_or_nothing_is_limited() -> None:
    grants = OneProcess()
    admission = Admission(grants)
    async with admission.enter(acme(connections_per_subject=1), None), admission.enter(acme(), "ada"):
        assert grants.used == {ACME: 2}


def test_a_process_has_its_part_of_a_rate() -> None:
    admission = Admission(OneProcess(living=4))
    tenant = acme(publish_rate=40)
    for _ in range(10):
        admission.publish(tenant, 1)
    with pytest.raises(SlipstreamError) as refused:
        admission.publish(tenant, 1)
    assert refused.value.code is Code.QUOTA_EXCEEDED
    assert refused.value.retry_after == pytest.approx(0.1, abs=0.05)
    admission.publish(tenant, 0)
    admission.forget("acme")
    admission.publish(tenant, 10)


def test_a_new_document_changes_the_limit_of_those_who_are_in() -> None:
    grants = OneProcess()
    Admission(grants).changed(acme(connections=9))
    assert grants.limits == {ACME: 9}
