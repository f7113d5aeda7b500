"""The chase that the service uses: what it asks for, how often, and for how long. Time is virtual (`tests.fakes`)."""

import asyncio
from collections.abc import Iterator

import pytest

from slipstream.fanout.connection import Ending, State
from tests.fakes.pods import served
from tests.fakes.world import HEARTBEAT, Reader, World

PATIENCE = 60.0


@pytest.fixture
def world() -> Iterator[World]:
    with served() as world:
        yield world
        world.check()
        world.settle()


def behind(world: World, topics: str = "a" * 20) -> Reader:
    """A reader whose next event the ring does not have any more."""
    world.burst(list(topics))
    world.feed(len(topics))
    reader = world.join([">"], 0)
    assert reader is not None
    world.turn(3)
    assert reader.connection.state is State.BEHIND
    return reader


def away(world: World, seconds: float) -> None:
    """Nobody answers for so long."""
    until = world.loop.clock.now + seconds
    while world.loop.clock.now < until:
        while world.source.gates:
            world.fail(0)
        world.wait(0.05)


def test_a_reader_that_is_served_from_the_stream_asks_about_once_for_each_page(world: World) -> None:
    reader = behind(world)
    world.source.instant = True
    for _ in range(60):
        world.answer(0)
    assert reader.connection.state is State.LIVE
    # 14 events in pages of three, some of them for the last event of a block of four alone; a page is two questions,
    # each there and back.
    assert world.source.asked < 40


def test_readers_who_come_back_together_ask_together(world: World) -> None:
    behind(world)
    for _ in range(50):
        world.join([">"], 0)
    world.source.instant = True
    for _ in range(60):
        world.answer(0)
    assert all(reader.connection.state is State.LIVE for reader in world.readers)
    assert world.source.asked < 60


def test_a_replica_that_lags_is_asked_again_but_not_in_a_hurry(world: World) -> None:
    world.burst(["a"] * 9)
    world.lag()
    reader = behind(world)
    world.source.instant = True
    world.answer(0)
    world.wait(0.1)
    before = world.source.asked
    world.wait(1.0)
    assert reader.connection.state is State.BEHIND
    assert 0 < world.source.asked - before < 150
    world.catch_up()


def test_a_stream_that_is_another_one_is_asked_again_but_not_in_a_hurry(world: World) -> None:
    behind(world)
    world.recreate()
    world.source.instant = True
    world.answer(0)
    before = world.source.asked
    world.wait(3.0)
    assert 0 < world.source.asked - before < 40


def test_while_nobody_answers_a_reader_waits_and_hears_heartbeats(world: World) -> None:
    reader = behind(world)
    away(world, PATIENCE / 2)
    world.check()
    heard = reader.judge.heard
    world.beat(HEARTBEAT)
    world.check()
    assert reader.judge.heard == heard + 1
    assert reader.connection.state is State.BEHIND
    assert world.source.asked < 200, "the pauses grow"


def test_when_nobody_answers_for_long_it_is_told_to_come_back(world: World) -> None:
    reader = behind(world)
    away(world, PATIENCE + 5.0)
    world.check()
    assert world.reactor.endings[reader.connection] is Ending.UPSTREAM
    assert reader.judge.ended


def test_an_answer_now_and_then_is_enough_to_go_on(world: World) -> None:
    reader = behind(world, "a" * 40)
    taken = world.reactor.wire(reader.connection).taken
    for _ in range(4):
        away(world, PATIENCE - 10.0)
        before = len(taken)
        while len(taken) == before:
            if not world.source.gates:
                world.wait(0.1)
            world.answer(0)
    assert reader.connection.state is State.BEHIND


def test_a_snapshot_that_breaks_off_ends_the_stream_because_there_is_no_second_one(world: World) -> None:
    world.burst(list("abcdefgh"))
    world.feed(8)
    reader = world.join_last([">"])
    assert reader is not None
    world.turn(3)
    world.fail(0)
    world.turn(3)
    world.check()
    assert world.reactor.endings[reader.connection] is Ending.UPSTREAM
    assert reader.judge.ended


def test_a_reader_that_leaves_takes_its_chase_along(world: World) -> None:
    behind(world)
    assert [task.get_name() for task in world.tail._chases.values()] == ["chase-t-1"]
    world.leave(0)
    world.turn(3)
    assert not world.tail._chases
    assert not [task for task in asyncio.all_tasks(world.loop) if task.get_name().startswith("chase")]


def test_what_a_chase_cannot_handle_ends_its_stream_and_no_other(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = world.join(["b"], 0)
    assert well is not None
    reader = behind(world)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(world.source, "read", broken)
        for _ in range(10):
            world.answer(0)
    assert world.reactor.endings == {reader.connection: Ending.INTERNAL}
    assert [record.message for record in caplog.records] == [f"the replay of stream {reader.connection.number} failed"]
    assert well.connection.state is State.LIVE
