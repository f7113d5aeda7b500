"""Which questions are put again, for how long, and what counts as an answer."""

import asyncio
import time

import orjson
import pytest
from nats import errors
from nats.aio.client import Client as LibraryClient
from nats.aio.msg import Msg

from slipstream.jetstream.asking import REPEATS, leaderless, repeatable, until_led
from slipstream.quotas.rate import Rate

LED = {"cluster": {"leader": "nats-1", "replicas": [{"name": "nats-2"}]}}
LEFT = {"cluster": {"replicas": [{"name": "nats-2"}]}}
AWAY = {"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}


def message(document: object) -> Msg:
    return Msg(LibraryClient(), "_INBOX.1", data=orjson.dumps(document))


class Cluster:
    """Drops, or answers by `useless`, what is asked too early; later questions are answered at once.

    elected: the number of the first question that is answered.
    """

    def __init__(self, elected: int, useless: object = None) -> None:
        self.asked = 0
        self._elected = elected
        self._useless = useless

    async def __call__(self, seconds: float) -> Msg:
        self.asked += 1
        if self.asked >= self._elected:
            return message(LED)
        if self._useless is not None:
            return message(self._useless)
        await asyncio.sleep(seconds)
        raise errors.TimeoutError


@pytest.mark.parametrize(
    ("subject", "may"),
    [
        ("$JS.API.STREAM.INFO.SSE_acme", True),
        ("$JS.API.CONSUMER.INFO.SSE_acme.edge-1", True),
        ("$JS.API.CONSUMER.CREATE.SSE_acme.edge-1", False),
        ("$JS.API.STREAM.UPDATE.SSE_acme", False),
        ("$JS.API.STREAM.MSG.GET.SSE_acme", False),  # its answer may be large
        ("sse.acme.orders", False),
        ("$KV.slipstream_leases.x", False),
    ],
)
def test_only_what_changes_nothing_is_put_again(subject: str, *, may: bool) -> None:
    assert repeatable(subject) is may


@pytest.mark.parametrize(
    ("answer", "nobody"),
    [
        (AWAY, True),
        (LEFT, True),
        (LED, False),
        ({"config": {"num_replicas": 1}}, False),  # one server
        ({"cluster": {"leader": "nats-1"}}, False),  # one copy
        ({"error": {"code": 404, "err_code": 10059}}, False),
        ({"error": {"code": 503, "err_code": 10076}}, False),  # no JetStream: lasting
    ],
)
def test_an_answer_that_names_no_leader_is_none(answer: object, *, nobody: bool) -> None:
    assert leaderless(orjson.dumps(answer)) is nobody


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[]", b"null"])
def test_what_is_none_of_jetstreams_answers_is_left_to_who_asked(data: bytes) -> None:
    assert not leaderless(data)


@pytest.mark.parametrize("useless", [None, AWAY, LEFT], ids=["silence", "unavailable", "no leader named"])
async def test_a_question_from_before_the_election_is_answered_after_it(useless: object) -> None:
    cluster = Cluster(3, useless)
    async with asyncio.timeout(10.0):
        answer = await until_led(cluster, 60.0, Rate(), "asking")
    assert orjson.loads(answer.data) == LED
    assert cluster.asked == 3


async def test_at_the_deadline_it_is_silence_or_the_last_that_was_said() -> None:
    with pytest.raises(errors.TimeoutError):
        await until_led(Cluster(1_000), 0.7, Rate(), "asking")
    answer = await until_led(Cluster(1_000, AWAY), 0.7, Rate(), "asking")
    assert orjson.loads(answer.data) == AWAY


async def test_what_was_said_counts_more_than_the_silence_of_another_question() -> None:
    asked, answered = 0, asyncio.Event()

    async def ask(_: float) -> Msg:
        nonlocal asked
        asked += 1
        if asked == 1:
            await answered.wait()
            raise errors.TimeoutError
        answered.set()
        return message(AWAY)

    answer = await until_led(ask, 1.5, Rate(), "asking")
    assert orjson.loads(answer.data) == AWAY


async def test_a_slow_answer_to_the_first_question_counts() -> None:
    asked = 0

    async def slow(_: float) -> Msg:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.sleep(60.0)
        await asyncio.sleep(0.6)
        return message(LED)

    async with asyncio.timeout(10.0):
        await until_led(slow, 60.0, Rate(), "asking")
    assert asked > 1


async def test_a_failure_that_is_none_of_silence_is_told_at_once() -> None:
    async def broken(_: float) -> Msg:
        raise errors.ConnectionClosedError

    async with asyncio.timeout(10.0):
        with pytest.raises(errors.ConnectionClosedError):
            await until_led(broken, 60.0, Rate(), "asking")


async def test_thousands_of_questions_are_put_once_and_repeated_within_the_budget() -> None:
    repeats, silent = Rate(), Cluster(1_000_000)
    began = time.monotonic()
    answers = await asyncio.gather(
        *(until_led(silent, 1.5, repeats, f"asking {number}") for number in range(2_000)), return_exceptions=True
    )
    seconds = time.monotonic() - began
    assert all(isinstance(answer, errors.TimeoutError) for answer in answers)
    # A second's worth at once, and then so many a second.
    assert 2_000 < silent.asked <= 2_000 + REPEATS * (1 + seconds)


async def test_who_gives_up_leaves_nothing_under_way() -> None:
    before = asyncio.all_tasks()
    asking = asyncio.create_task(until_led(Cluster(1_000), 60.0, Rate(), "asking"), name="test")
    await asyncio.sleep(0.5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
