"""What went wrong once: one script each, found by tests/property/test_tail.py or by thinking. Judged by the world."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from slipstream.fanout.connection import State
from tests.fakes.pods import served, simple
from tests.fakes.world import HEARTBEAT, RING, Reader, World


@pytest.fixture(params=[simple, served])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    make: Callable[[], World] = request.param
    with make() as world:
        yield world
        world.check()
        world.settle()


def publish(world: World, topics: str) -> None:
    """Each letter is a topic; the feed delivers at once."""
    world.burst(list(topics))
    world.feed(len(topics))
    world.check()


def join(world: World, topic: str, where: int) -> Reader:
    reader = world.join([topic], where)
    assert reader is not None
    world.check()
    return reader


def live(reader: Reader) -> bool:
    return reader.connection.state is State.LIVE


def answer_all(world: World) -> None:
    world.turn(3)
    while world.source.gates:
        world.answer(0)
    world.check()


def test_events_for_an_audience_whose_readers_are_all_behind_go_to_the_ring_alone(world: World) -> None:
    reader = join(world, ">", 0)
    world.squeeze(0, 0)
    publish(world, "a")
    world.step()
    assert not live(reader)
    publish(world, "a")
    world.step()


def test_a_reader_that_is_ahead_of_the_feed_becomes_live_when_the_feed_gets_there(world: World) -> None:
    world.burst(["a", "b"])
    readers = [join(world, ">", 2), join(world, "none", 2)]
    assert not any(map(live, readers))
    world.feed(1)
    world.step()
    assert not any(map(live, readers))
    world.feed(1)
    world.step()
    assert all(map(live, readers))


def test_one_that_wants_nothing_of_what_comes_becomes_live_all_the_same(world: World) -> None:
    world.burst(["b"])
    reader = join(world, "a", 1)
    world.feed(1)
    world.step()
    assert live(reader)


def test_nothing_is_told_to_a_reader_that_is_ahead_of_what_the_feed_missed(world: World) -> None:
    world.burst(["a"] * 9)
    join(world, ">", 7)
    world.evict(5)
    world.feed(1)
    assert world.restarts[-1].base == 5
    world.settle()


def test_a_restart_reaches_a_reader_whose_chase_waits_for_an_answer(world: World) -> None:
    publish(world, "a" * 20)
    reader = join(world, ">", 0)
    world.turn(3)
    assert world.source.gates
    world.recreate()
    world.look()
    world.step()
    answer_all(world)
    assert live(reader)


def test_a_chase_ends_when_its_socket_is_full_at_the_end_of_a_frame(world: World) -> None:
    publish(world, "a" * 20)
    reader = join(world, ">", 0)
    world.cut(0, 1)
    answer_all(world)
    world.wait(1.0)
    answer_all(world)
    assert reader.connection.unsent == b""
    assert reader.connection in world.reactor.waiting
    assert not world.tail._chases


def test_a_heartbeat_that_finds_room_takes_the_reader_along(world: World) -> None:
    reader = join(world, ">", 0)
    world.cut(0, 1)
    publish(world, "aa")
    world.step()
    assert reader.connection.unsent == b""
    world.drain(0)
    world.beat(HEARTBEAT + 1)
    world.check()
    assert live(reader), "epoll would say nothing: the room was used up by the heartbeat"


def test_of_a_snapshot_that_a_socket_takes_in_parts_nothing_is_lost(world: World) -> None:
    publish(world, "abcdefgh")
    world.join_last([">"])
    for _ in range(8):
        world.cut(0, 1)
        world.writable(0)
        answer_all(world)
    world.drain(0)


def test_a_snapshot_does_not_outlive_its_log(world: World) -> None:
    publish(world, "abcdefgh")
    world.join_last([">"])
    world.squeeze(0, 10)
    answer_all(world)
    world.recreate()
    publish(world, "")
    world.look()
    world.step()
    answer_all(world)
    world.burst(["x"])


def test_what_matched_and_was_evicted_before_the_replay_began_is_told(world: World) -> None:
    publish(world, "aaa" + "b" * 20)
    reader = join(world, "a", 0)
    world.evict(3)
    answer_all(world)
    world.settle()
    assert reader.judge.gaps == ["expired"]


def test_a_reader_without_missing_events_is_told_nothing(world: World) -> None:
    publish(world, "aaa" + "b" * 20)
    reader = join(world, "a", 3)
    world.evict(3)
    answer_all(world)
    world.settle()
    assert reader.judge.gaps == []


def test_a_fence_of_a_stream_that_is_another_one_is_not_used(world: World) -> None:
    publish(world, "a" * 20)
    reader = join(world, "a", 0)
    world.recreate()
    answer_all(world)
    world.settle()
    assert reader.judge.gaps == ["reset"]


def test_a_queue_that_outgrows_the_ring_turns_into_readers_that_are_behind(world: World) -> None:
    reader = join(world, "a", 0)
    publish(world, "a" * (RING.events + 1))
    assert not live(reader)
    world.slice()


def test_an_audience_that_heard_of_its_last_event_is_told_of_those_that_followed(world: World) -> None:
    reader = join(world, "a", 0)
    publish(world, "abb")
    world.step()
    world.check()
    assert reader.judge.position == 1
    world.beat(HEARTBEAT + 1)
    world.step()
    world.check()
    assert reader.judge.position == 3


def test_whoever_waits_for_a_change_hears_of_an_event_nobody_else_wants(world: World) -> None:
    waiting = world.loop.call(lambda: asyncio.ensure_future(world.tail.changed(5.0)))
    world.turn(2)
    publish(world, "a")
    world.step()
    world.turn(2)
    assert waiting.done()
    assert world.loop.clock.now == 0.0
    assert not world.tail._waiters


def test_whoever_waits_for_a_change_waits_no_longer_than_it_wants_to(world: World) -> None:
    waiting = world.loop.call(lambda: asyncio.ensure_future(world.tail.changed(5.0)))
    world.wait(4.9)
    assert not waiting.done()
    world.wait(0.2)
    assert waiting.done()
    assert waiting.exception() is None
    assert not world.tail._waiters
