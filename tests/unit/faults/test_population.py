"""Every way to read has readers in a run, for each tenant, and on more than one road."""

from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.load import TENANTS, LoadBook
from tests.faults.poller import Poller
from tests.faults.population import watchers
from tests.proof.reader import Tally


def test_there_are_readers_of_every_kind(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster._nobody.close()
    found = watchers(cluster, {tenant: LoadBook() for tenant in TENANTS}, Tally(), seed=7)
    for tenant in TENANTS:
        kinds = [one.kind for one in found if one.plan.tenant == tenant]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {
            "plain": 8,
            "browser": 5,
            "slow": 1,
            "gzip": 2,
            "poll": 2,
            "last": 1,
        }
    assert len({one.plan.name for one in found}) == len(found)
    for one in found:
        assert one.plan.gzip is (one.kind == "gzip")
        assert isinstance(one, Poller) is (one.kind == "poll")
        # Who comes later than the first event is one who has nothing to lose by it.
        assert one.plan.early is (one.kind != "last")
        assert (one.pulse is None) is (one.cutting or one.kind in ("slow", "poll"))
