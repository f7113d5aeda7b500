"""Whose places a request takes, and that each is given back once."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from slipstream.edge.admission import Admission, Limits
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.quotas.grants import subject_key, tenant_key
from slipstream.tenants.model import Quotas, Tenant, TenantSpec

ADA = subject_key("acme", "ada")
ACME = tenant_key("acme")
ADDRESS = "198.51.100.1"


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


def admission_of(grants: OneProcess, *, connect_rate: int = 1_000, per_address: int = 0) -> Admission:
    return Admission(grants, Limits(connect_rate, per_address), clock=lambda: 0.0)  # no time passes


def acme(**quotas: int) -> Tenant:
    return Tenant.of("acme", TenantSpec(quotas=Quotas(**quotas)))


async def test_a_stream_keeps_its_places_until_it_ends() -> None:
    grants = OneProcess()
    admission = admission_of(grants)
    async with admission.enter(acme(connections=5, connections_per_subject=2), "ada", ADDRESS) as place:
        place.kept = True
    assert grants.used == {ADA: 1, ACME: 1}
    for _ in range(2):
        place.close()
    assert not +grants.used
    assert grants.limits == {ADA: 2, ACME: 5}


async def test_without_a_stream_the_places_are_given_back() -> None:
    grants = OneProcess()
    admission = admission_of(grants)
    async with admission.enter(acme(), None, ADDRESS):
        assert grants.used == {ACME: 1}
    assert not +grants.used


async def test_a_stream_that_fails_at_the_last_moment_keeps_nothing() -> None:
    grants = OneProcess()
    admission = admission_of(grants)

    async def fail() -> None:
        async with admission.enter(acme(), None, ADDRESS) as place:
            place.kept = True
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await fail()
    assert not +grants.used


async def test_who_the_tenant_has_no_place_for_keeps_none_of_its_subject() -> None:
    grants = OneProcess()
    admission = admission_of(grants)
    with pytest.raises(SlipstreamError) as refused:
        await admission.enter(acme(connections=0, connections_per_subject=2), "ada", ADDRESS).__aenter__()
    assert refused.value.code is Code.QUOTA_EXCEEDED
    assert not +grants.used


async def test_subjects_are_not_counted_where_nobody_is_known_or_nothing_is_limited() -> None:
    grants = OneProcess()
    admission = admission_of(grants)
    async with admission.enter(acme(connections_per_subject=1), None, ADDRESS), admission.enter(acme(), "ada", ADDRESS):
        assert grants.used == {ACME: 2}


def test_a_process_has_its_part_of_a_rate() -> None:
    admission = admission_of(OneProcess(living=4))
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
    admission_of(grants).changed(acme(connections=9))
    assert grants.limits == {ACME: 9}


async def test_an_address_has_so_many_places_and_gets_them_back() -> None:
    grants = OneProcess()
    admission = admission_of(grants, per_address=2)
    places = []
    for address in ("2001:db8::1", "2001:db8::2"):
        async with admission.enter(acme(), None, address) as place:
            place.kept = True
        places.append(place)
    assert [place.address for place in places] == ["2001:db8::1", "2001:db8::2"]
    with pytest.raises(SlipstreamError) as refused:
        await admission.enter(acme(), None, "2001:db8::3").__aenter__()
    assert refused.value.code is Code.QUOTA_EXCEEDED
    assert grants.used == {ACME: 2}, "who has too many takes nothing of the tenant's"
    async with admission.enter(acme(), None, "2001:db8:0:1::1"), admission.enter(acme(), None, ADDRESS):
        assert admission.document()["addresses"] == 3
    for _ in range(2):
        places[0].close()
    async with admission.enter(acme(), None, "2001:db8::3"):
        pass
    places[1].close()
    assert admission.document()["addresses"] == 0
    assert not +grants.used


async def test_an_address_is_given_back_when_the_tenant_has_no_place() -> None:
    admission = admission_of(OneProcess(), per_address=1)
    for _ in range(3):
        with pytest.raises(SlipstreamError):
            await admission.enter(acme(connections=0), None, ADDRESS).__aenter__()
    assert admission.document()["addresses"] == 0


async def test_who_has_no_address_is_not_counted_by_it() -> None:
    admission = admission_of(OneProcess(), per_address=1)
    async with admission.enter(acme(), None, ""), admission.enter(acme(), None, ""):
        assert admission.document()["addresses"] == 0


async def test_a_crowd_is_told_to_come_back_apart() -> None:
    grants = OneProcess()
    admission = admission_of(grants, connect_rate=5)

    async def knock() -> None:
        async with admission.enter(acme(), None, ADDRESS):
            pass

    told = [await asyncio.gather(knock(), return_exceptions=True) for _ in range(15)]
    refused = [one for (one,) in told if isinstance(one, SlipstreamError)]
    assert len(refused) == 10
    assert {one.code for one in refused} == {Code.OVERLOADED}
    waits = {one.retry_after for one in refused if one.retry_after is not None and one.retry_after >= 1}
    assert len(waits) == len(refused), "each at its own time"
    assert not +grants.used


async def test_the_crowd_of_one_tenant_leaves_another_its_part() -> None:
    grants = OneProcess()
    admission = admission_of(grants, connect_rate=8)

    async def knock() -> None:
        async with admission.enter(acme(), None, ADDRESS):
            pass

    told = [await asyncio.gather(knock(), return_exceptions=True) for _ in range(40)]
    assert sum(isinstance(one, SlipstreamError) for (one,) in told) >= 30
    async with admission.enter(Tenant.of("other", TenantSpec()), None, ADDRESS):
        pass


@pytest.mark.parametrize("quota", ["connections", "connections_per_subject"])
async def test_a_tenant_over_its_own_quota_takes_none_of_the_processes(quota: str) -> None:
    grants = OneProcess()
    grants.used.update({ADA: 1, ACME: 1})
    admission = admission_of(grants, connect_rate=1)
    for _ in range(10):
        with pytest.raises(SlipstreamError) as refused:
            await admission.enter(acme(**{quota: 1}), "ada", ADDRESS).__aenter__()
        assert refused.value.code is Code.QUOTA_EXCEEDED
    async with admission.enter(Tenant.of("other", TenantSpec()), None, ADDRESS):
        pass


async def test_tickets_are_spent_by_the_rate_of_connects_and_cost_no_connect() -> None:
    admission, tenant = admission_of(OneProcess(living=2)), acme(connect_rate=4)
    for _ in range(2):
        admission.redeem(tenant)
    with pytest.raises(SlipstreamError) as refused:
        admission.redeem(tenant)
    assert refused.value.code is Code.QUOTA_EXCEEDED
    async with admission.enter(tenant, None, ADDRESS), admission.enter(tenant, None, ADDRESS):
        pass
    admission.forget("acme")
    admission.redeem(tenant)
    for _ in range(50):
        admission.redeem(acme())


async def test_a_tenant_over_its_own_rate_takes_none_of_the_processes() -> None:
    admission = admission_of(OneProcess(), connect_rate=3)
    for _ in range(10):
        with pytest.raises(SlipstreamError):
            async with (
                admission.enter(acme(connect_rate=1), None, ADDRESS),
                admission.enter(acme(connect_rate=1), None, ADDRESS),
            ):
                pass
    async with admission.enter(Tenant.of("other", TenantSpec()), None, ADDRESS):
        pass
