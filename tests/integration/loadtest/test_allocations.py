"""Both ways are really delivered while allocations are counted."""

import pytest

from loadtest.allocations import counts, saved
from loadtest.counted import Plan
from loadtest.machine import available_cores

pytestmark = pytest.mark.alone


async def test_both_ways_deliver_and_a_queue_for_each_client_allocates_more() -> None:
    plans = [Plan("slipstream", 20, 20), Plan("queues", 20, 20)]
    ours, theirs = await counts(plans, available_cores())
    assert [(one.way, one.deliveries) for one in (ours, theirs)] == [("slipstream", 400), ("queues", 400)]
    assert theirs.each > 5, "a wake-up, a future and a write each"
    assert saved(ours, theirs) > 0.5
