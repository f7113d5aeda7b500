import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from slipstream.client import Published, Publisher, Refused, RetryState, Terms, Unconfirmed
from slipstream.client.publish import body_of
from tests.unit.client.server import Answer, Server, plain, reset, serve

pytestmark = pytest.mark.timeout(20)

STORED = Published("k3m9x2ab-7", 7, duplicate=False)
MADE: list[Publisher] = []
FAST = {"X_Retry_Policy": "max-jitter=0ms, max-attempts=4", "X_Retry_Backoff_Base": "1"}


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def stored(*, duplicate: bool = False) -> Answer:
    document = {"position": STORED.position, "seq": STORED.seq, "duplicate": duplicate}
    return plain(200, json.dumps(document), Content_Type="application/json", **FAST)


def problem(status: int, code: str = "SSE_C", **headers: str) -> Answer:
    document = {"code": code, "detail": "because"}
    return plain(status, json.dumps(document), Content_Type="application/problem+json", **{**FAST, **headers})


def publisher(server: Server, **options: Any) -> Publisher:
    MADE.append(Publisher(server.url, "acme", **{"roll": lambda: 0.0, **options}))
    return MADE[-1]


def fast() -> RetryState:
    """For what fails before the server could say its terms."""
    return RetryState(Terms(base_ms=1, max_jitter_ms=0, max_attempts=4))


def keys(server: Server) -> set[str | None]:
    return {server.header(number, "Idempotency-Key") for number in range(len(server.requests))}


async def test_the_request_says_what_and_on_what_terms() -> None:
    async with serve(stored()) as server:
        place = await publisher(server, token="t0k").publish("orders.new", {"total": 42}, event="created", key="ORD-42")
        assert place == STORED
        assert server.requests[0].startswith("POST /v1/events HTTP/1.1\r\n")
        assert server.header(0, "X-Tenant-ID") == "acme"
        assert server.header(0, "Authorization") == "Bearer t0k"
        assert server.header(0, "Retry-Preferences") == (
            "base=200ms, backoff=exponential, idempotency-aware=true, max-attempts=10"
        )
        assert len(server.header(0, "Idempotency-Key") or "") == 32
        length = len(body_of("orders.new", {"total": 42}, "created", "ORD-42"))
        assert server.header(0, "Content-Length") == str(length)


@pytest.mark.parametrize("failure", [problem(408), problem(429), problem(500), problem(503), plain(502, **FAST), reset])
async def test_what_passes_is_sent_again_with_the_same_key(failure: Answer) -> None:
    async with serve(failure, failure, stored(duplicate=True)) as server:
        state = fast()
        place = await publisher(server).publish("a", 1, state=state)
        assert place == STORED._replace(duplicate=True)
        assert len(server.requests) == 3
        assert keys(server) == {state.key}
        assert (state.attempt, state.code) == (0, "")


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def torn(writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{"position":"k3m9')

    async with serve(torn, stored()) as server:
        assert await publisher(server).publish("a", 1, state=fast()) == STORED
        assert len(keys(server)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 428, 302])
async def test_what_lasts_is_raised_at_once(status: int) -> None:
    async with serve(problem(status)) as server:
        with pytest.raises(Refused, match="because") as refusal:
            await publisher(server).publish("a", 1)
        assert (refusal.value.status, len(server.requests)) == (status, 1)
        assert not hasattr(refusal.value, "__notes__")


async def test_a_refusal_after_silence_says_that_the_event_may_be_stored() -> None:
    async with serve(reset, problem(401)) as server:
        with pytest.raises(Refused) as refusal:
            await publisher(server).publish("a", 1, state=fast())
        assert refusal.value.__notes__ == ["an attempt before was not confirmed: the event may be stored"]


async def test_the_server_says_which_statuses_pass() -> None:
    async with serve(problem(503, X_Retry_Policy="retryable=(429)")) as server:
        with pytest.raises(Refused, match="503"):
            await publisher(server).publish("a", 1)
        assert len(server.requests) == 1


async def test_the_agreed_attempts_are_the_end() -> None:
    async with serve(*[problem(503, "SSE_TIMEOUT")] * 9) as server:
        with pytest.raises(Unconfirmed, match="4 attempts failed; the last: 503 SSE_TIMEOUT: because") as end:
            await publisher(server).publish("a", 1)
        assert len(server.requests) == 4
        assert end.value.state.attempt == 4
        assert end.value.state.code == "SSE_TIMEOUT"
        assert keys(server) == {end.value.state.key}


async def test_retry_after_is_waited_for() -> None:
    async with serve(problem(429, Retry_After="1"), stored()) as server:
        began = asyncio.get_running_loop().time()
        await publisher(server).publish("a", 1)
        assert asyncio.get_running_loop().time() - began >= 0.99


async def test_no_retry_is_made_that_could_store_twice() -> None:
    async with serve(problem(503, Retry_After="111")) as server:
        with pytest.raises(Unconfirmed, match="a retry after 111 s could store it twice; the last: 503 SSE_C: because"):
            await publisher(server, now=lambda: 1_000.0).publish("a", 1)
        assert len(server.requests) == 1


@pytest.mark.parametrize(("age", "requests"), [(109.0, 1), (111.0, 0)])
async def test_the_window_is_counted_over_a_restart(age: float, requests: int) -> None:
    async with serve(stored()) as server:
        kept = RetryState.from_dict(
            {**fast().to_dict(), "key": "k-1", "attempt": 2, "began_at": 1_000.0, "code": "SSE_X"}
        )
        publishing = publisher(server, now=lambda: 1_000.0 + age).publish("a", 1, state=kept)
        if requests:
            assert await publishing == STORED
            assert keys(server) == {"k-1"}
        else:
            with pytest.raises(Unconfirmed, match="twice; the last: SSE_X"):
                await publishing
        assert len(server.requests) == requests


async def test_a_clock_that_is_set_back_opens_no_window() -> None:
    async with serve(problem(503, Retry_After="1"), stored()) as server:
        clock = [1_000_000.0]

        def keep(state: RetryState) -> None:
            clock[0] = 1_000_000.0 - 3_600.0 * bool(state.attempt)

        one = publisher(server, now=lambda: clock[0], answer_seconds=119.5)
        with pytest.raises(Unconfirmed, match="could store it twice"):
            await one.publish("a", 1, keep=keep)
        assert len(server.requests) == 1


async def test_a_clock_that_was_set_back_over_a_restart_tells_nothing() -> None:
    async with serve(stored()) as server:
        kept = RetryState.from_dict({**fast().to_dict(), "key": "k-1", "attempt": 2, "began_at": 4_600.0})
        with pytest.raises(Unconfirmed, match="the clock was set back"):
            await publisher(server, now=lambda: 1_000.0).publish("a", 1, state=kept)
        assert not server.requests


async def test_the_state_can_be_kept_before_each_request_and_after_each_failure() -> None:
    kept: list[tuple[int, str | None, str]] = []

    def keep(state: RetryState) -> None:
        kept.append((state.attempt, state.key, state.code))

    async with serve(problem(503), stored()) as server:
        state = RetryState(key="k-1")
        await publisher(server).publish("a", 1, state=state, keep=keep)
        assert kept == [(0, "k-1", ""), (1, "k-1", "SSE_C"), (1, "k-1", "SSE_C")]


async def test_a_server_that_never_answers_is_tried_again() -> None:
    async def mute(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serve(mute, stored()) as server:
        assert await publisher(server, answer_seconds=0.1).publish("a", 1, state=fast()) == STORED


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"position":1}', '{"results":[]}'])
async def test_a_200_that_tells_no_place_is_no_success(body: str) -> None:
    async with serve(plain(200, body)) as server:
        with pytest.raises(Refused, match="check the URL"):
            await publisher(server).publish("a", 1)


async def test_a_connection_that_the_server_keeps_serves_the_next_event() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def keeping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(body_of("a", 1)))
            await stored()(writer)
            if len(connections) == 1 and places[1:]:
                break
        writer.close()

    places: list[Published] = []
    listener = await asyncio.start_server(keeping, "127.0.0.1", 0)
    async with listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        async with Publisher(url) as one:
            state = RetryState()
            for _ in range(5):
                places.append(await one.publish("a", 1, state=state))
                assert (state.attempt, state.began_at) == (0, None)
            # The first was closed after its third answer, and nobody noticed but the publisher.
            assert len(connections) == 2
            assert places == [STORED] * 5
        for writer in connections:
            writer.transport.abort()


async def test_a_connection_that_broke_while_idle_is_no_failure() -> None:
    failures: list[int] = []
    async with serve(stored(), stored(), stored()) as server:
        one = publisher(server)
        for _ in range(3):  # The server closes each behind its answer, and does not say so in it.
            assert await one.publish("a", 1, keep=lambda state: failures.append(state.attempt)) == STORED
        assert failures == [0, 0, 0]


async def test_what_cannot_be_sent_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="not an http"):
        Publisher("ftp://127.0.0.1")
    with pytest.raises(ValueError, match="line break"):
        Publisher("http://127.0.0.1", token="a\r\nX-Admin: 1")
    one = Publisher("http://127.0.0.1")
    with pytest.raises(ValueError, match="JSON"):
        await one.publish("a", {1, 2})
    with pytest.raises(ValueError, match="JSON"):
        await one.publish("a", float("nan"))
    with pytest.raises(ValueError, match="line break"):
        await one.publish("a", 1, state=RetryState(key="a\nb"))


def test_an_event_is_one_compact_object() -> None:
    assert body_of("a", "Größe") == '{"topic":"a","data":"Größe"}'.encode()
    assert body_of("a", None, "moved", "K") == b'{"topic":"a","data":null,"event":"moved","key":"K"}'
