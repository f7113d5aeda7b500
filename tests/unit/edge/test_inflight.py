"""The bytes of publishes under way: never more than the limit, and never all of them one tenant's."""

import random
from contextlib import ExitStack

import pytest

from slipstream.edge.inflight import Inflight
from slipstream.protocol.errors import Code, SlipstreamError


def fill(inflight: Inflight, stack: ExitStack, tenant: str, size: int = 1) -> int:
    """Take until nothing is given any more; how many bytes."""
    taken = 0
    while True:
        try:
            stack.enter_context(inflight.hold(tenant, size))
        except SlipstreamError:
            return taken
        taken += size


def test_one_tenant_alone_gets_half_and_another_finds_room() -> None:
    inflight = Inflight(1_000)
    with ExitStack() as stack:
        assert fill(inflight, stack, "greedy") == 500
        assert fill(inflight, stack, "other") == 250
        assert fill(inflight, stack, "third") == 125
    assert inflight.document() == {"held": 0, "limit": 1_000}
    with ExitStack() as stack:
        assert fill(inflight, stack, "greedy") == 500, "all was given back"


def test_a_body_that_is_whole_takes_what_it_is() -> None:
    inflight = Inflight(1_000)
    with inflight.hold("acme", 500) as held:
        held.shrink(20)
        assert inflight.total == 20
        held.shrink(400)
        assert inflight.total == 20, "a body never grows beyond what it has shrunk to"
        with inflight.hold("acme", 480):
            assert inflight.total == 500
    assert inflight.total == 0


def test_a_body_larger_than_all_passes_alone() -> None:
    inflight = Inflight(1_000)
    with inflight.hold("acme", 5_000):
        with pytest.raises(SlipstreamError) as refused, inflight.hold("other", 1):
            pass
        assert refused.value.code is Code.OVERLOADED
        assert refused.value.retry_after is not None
        assert inflight.total == 5_000
    assert inflight.total == 0


def test_a_body_that_fails_gives_back_what_it_took() -> None:
    inflight = Inflight(1_000)
    with pytest.raises(ConnectionResetError), inflight.hold("acme", 300):
        raise ConnectionResetError
    assert inflight.total == 0


def test_the_limit_holds_whatever_comes_and_goes() -> None:
    dice = random.Random(7)
    inflight = Inflight(10_000)
    open_bodies: list[ExitStack] = []
    for _ in range(5_000):
        if open_bodies and dice.random() < 0.45:
            open_bodies.pop(dice.randrange(len(open_bodies))).close()
        else:
            stack = ExitStack()
            try:
                held = stack.enter_context(inflight.hold(dice.choice("abcde"), dice.randrange(1, 2_000)))
            except SlipstreamError:
                continue
            if dice.random() < 0.5:
                held.shrink(dice.randrange(2_000))
            open_bodies.append(stack)
        assert 0 <= inflight.total <= 10_000
        assert sum(inflight._tenants.values()) == inflight.total
    for stack in open_bodies:
        stack.close()
    assert (inflight.total, inflight._tenants) == (0, {})
