import asyncio
import json

import pytest

from slipstream.client import (
    Backoff,
    Message,
    OrderViolation,
    Preferences,
    Refused,
    RetryState,
    Stream,
    Terms,
    Unreachable,
)
from slipstream.protocol.errors import SlipstreamError
from tests.unit.client.server import frames, plain, reset, serve

pytestmark = pytest.mark.timeout(20)

EPOCH = "k3m9x2ab"


def position(seq: int) -> str:
    return f"{EPOCH}-{seq}-1x"


def ready(seq: int, heartbeat_ms: int = 15_000, retry: int = 10) -> str:
    return f'retry: {retry}\n\nid: {position(seq)}\nevent: stream.ready\ndata: {{"heartbeat_ms":{heartbeat_ms}}}\n\n'


def event(seq: int, data: str = "x") -> str:
    return f"id: {position(seq)}\nevent: quake\ndata: {data}\n\n"


def fast(attempts: int = 1_000) -> RetryState:
    return RetryState(Terms(base_ms=1, max_jitter_ms=10, backoff=Backoff.linear, max_attempts=attempts), retry_ms=1)


def error(retry: object, code: str = "SSE_SLOW_CONSUMER") -> str:
    return f"event: error\ndata: {json.dumps({'code': code, 'message': 'M', 'retry': retry, 'trace_id': None})}\n\n"


async def take(stream: Stream, count: int) -> list[Message]:
    return [await anext(stream) for _ in range(count)]


def seqs(messages: list[Message]) -> list[int]:
    return [int(message.id.split("-")[1]) for message in messages]


async def test_it_goes_on_over_every_kind_of_end_with_the_last_id_it_handed_out() -> None:
    script = (
        frames(ready(0), event(1), event(2)),
        reset,
        frames(ready(2), event(3), event(5)[:-9], end=False),
        plain(503),
        frames(ready(3), event(5), hold=True),
    )
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 4)) == [1, 2, 3, 5]
        sent = [server.header(number, "Last-Event-ID") for number in range(5)]
        assert sent == [None, position(2), position(2), position(3), position(3)]
        counters = stream.counters
        assert (counters.connects, counters.resumes, counters.events, counters.gaps) == (3, 2, 4, 0)
        assert counters.failures == 2


async def test_the_request_asks_for_what_the_reader_wants() -> None:
    async with serve(frames(ready(0), event(1), hold=True)) as server:
        async with Stream(
            server.url, ["a.>", "b.*"], "acme", since="earliest", token="t0k", parameters=[("envelope", "cloudevents")]
        ) as stream:
            await take(stream, 1)
        head = server.requests[0]
        assert head.startswith(
            "GET /v1/events?topic=a.%3E&topic=b.%2A&since=earliest&envelope=cloudevents HTTP/1.1\r\n"
        )
        assert server.header(0, "X-Tenant-ID") == "acme"
        assert server.header(0, "Authorization") == "Bearer t0k"
        assert server.header(0, "Accept-Encoding") == "identity"


async def test_it_starts_from_a_given_id() -> None:
    async with (
        serve(frames(ready(41), event(42), hold=True)) as server,
        Stream(server.url, last_event_id=position(41)) as stream,
    ):
        await take(stream, 1)
        assert server.header(0, "Last-Event-ID") == position(41)
        assert stream.last_event_id == position(42)


async def test_what_was_read_but_not_handed_out_is_not_acknowledged() -> None:
    async with serve(frames(ready(0), event(1), event(2), hold=True)) as server, Stream(server.url) as stream:
        await take(stream, 1)
        assert stream.last_event_id == position(1)


async def test_a_cancelled_wait_loses_nothing() -> None:
    async with serve(frames(ready(0), event(1), hold=True)) as server, Stream(server.url) as stream:
        await take(stream, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        assert stream.counters.connects == 1


async def test_the_servers_retry_is_obeyed() -> None:
    script = (frames(ready(0, retry=300), event(1)), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 1)
        began = asyncio.get_running_loop().time()
        await take(stream, 1)
        assert asyncio.get_running_loop().time() - began >= 0.29


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_lasting_refusal_is_raised_with_the_servers_words(status: int) -> None:
    body = json.dumps({"title": "T", "detail": "ask for a token", "code": "SSE_FORBIDDEN"})
    async with (
        serve(plain(status, body, Content_Type="application/problem+json")) as server,
        Stream(server.url, retry=fast()) as stream,
    ):
        with pytest.raises(Refused, match="ask for a token") as refusal:
            await anext(stream)
        assert (refusal.value.code, refusal.value.status) == ("SSE_FORBIDDEN", status)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_passing_refusal_waits_for_retry_after(status: int) -> None:
    script = (plain(status, Retry_After="1"), frames(ready(0), event(1), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        began = asyncio.get_running_loop().time()
        await take(stream, 1)
        assert asyncio.get_running_loop().time() - began >= 0.99


async def test_a_page_that_is_no_event_stream_is_refused() -> None:
    async with serve(plain(200, "<html>", Content_Type="text/html")) as server, Stream(server.url) as stream:
        with pytest.raises(Refused, match="text/html"):
            await anext(stream)


async def test_silence_of_two_and_a_half_heartbeats_is_a_dead_connection() -> None:
    script = (frames(ready(0, heartbeat_ms=40), event(1), hold=True), frames(ready(1), event(2), hold=True))
    # The server holds it for 30 s, and ends it then: that must not be what the client waited for.
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream, asyncio.timeout(10):
        assert seqs(await take(stream, 2)) == [1, 2]
        assert server.header(1, "Last-Event-ID") == position(1)


async def test_comments_keep_a_quiet_connection() -> None:
    async def beats(writer: asyncio.StreamWriter) -> None:
        await frames(ready(0, heartbeat_ms=500), end=False)(writer)
        for _ in range(10):
            await asyncio.sleep(0.15)
            writer.write(b"2\r\n:\n\r\n")
        block = event(1).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(block), block))
        await asyncio.sleep(30)

    async with serve(beats) as server, Stream(server.url) as stream:
        assert seqs(await take(stream, 1)) == [1]
        assert stream.counters.connects == 1


async def test_a_server_that_never_answers_is_given_up_and_tried_again() -> None:
    async def mute(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with (
        serve(mute, frames(ready(0), event(1), hold=True)) as server,
        Stream(server.url, retry=fast(), connect_seconds=0.1) as stream,
    ):
        assert seqs(await take(stream, 1)) == [1]
        assert stream.counters.failures == 1


async def test_a_gap_is_handed_out_and_may_lead_to_another_log() -> None:
    gap = 'id: zzzzzzzz-0\nevent: stream.gap\ndata: {"reason":"reset"}\n\n'
    after = "id: zzzzzzzz-1\nevent: quake\ndata: y\n\n"
    script = (frames(ready(9), gap, after, hold=True),)
    async with serve(*script) as server, Stream(server.url, last_event_id=position(9)) as stream:
        assert [message.event for message in await take(stream, 2)] == ["stream.gap", "quake"]
        assert (stream.counters.gaps, stream.counters.events) == (1, 1)


async def test_an_event_twice_after_a_resume_is_a_violation() -> None:
    script = (frames(ready(0), event(1), event(2)), frames(ready(1), event(2)))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 2)
        with pytest.raises(OrderViolation):
            await anext(stream)


async def test_a_drain_leaves_at_once_and_comes_back_after_its_retry() -> None:
    drain = 'retry: 20\nevent: stream.drain\ndata: {"retry_ms":20}\n\n'
    script = (frames(ready(0), event(1), drain, hold=True), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 2)) == [1, 2]
        assert server.header(1, "Last-Event-ID") == position(1)


async def test_what_follows_a_drain_is_left_to_the_resume() -> None:
    drain = "event: stream.drain\ndata: {}\n\n"
    script = (frames(ready(0), event(1), drain + event(2), hold=True), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 2)) == [1, 2]
        assert server.header(1, "Last-Event-ID") == position(1)


async def test_an_error_without_an_id_does_not_lose_the_place() -> None:
    script = (frames(ready(0), event(1)), frames(error(20)), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 2)) == [1, 2]
        assert server.header(2, "Last-Event-ID") == position(1)


@pytest.mark.parametrize("retry", [True, 20])
async def test_an_error_that_passes_reconnects(retry: object) -> None:
    script = (frames(ready(0), event(1), error(retry), hold=True), frames(ready(1), event(2), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 2)) == [1, 2]


async def test_an_error_that_stays_is_raised() -> None:
    script = (frames(ready(0), event(1), error(False, "SSE_TOKEN_EXPIRED"), hold=True),)
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 1)
        with pytest.raises(Refused) as refusal:
            await anext(stream)
        assert refusal.value.code == "SSE_TOKEN_EXPIRED"


async def test_a_refusal_inside_a_200_counts_as_a_failure_and_is_tried_later() -> None:
    script = (frames(f"retry: 10\n\n{error(20, 'SSE_OVERLOADED')}"), frames(ready(0), event(1), hold=True))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        assert seqs(await take(stream, 1)) == [1]
        assert stream.counters.failures == 1


async def test_control_events_are_handed_out_on_request() -> None:
    beat = "event: stream.heartbeat\ndata: {}\n\n"
    async with (
        serve(frames(ready(0), beat, event(1), hold=True)) as server,
        Stream(server.url, control=True) as stream,
    ):
        names = [message.event for message in await take(stream, 3)]
        assert names == ["stream.ready", "stream.heartbeat", "quake"]
        assert stream.counters.events == 1


async def test_nobody_there_ends_with_the_last_reason() -> None:
    async with serve() as server:
        url = server.url
    async with Stream(url, retry=fast(), give_up_seconds=0.2) as stream:
        with pytest.raises(Unreachable, match="ConnectionRefusedError"):
            await anext(stream)


async def test_close_ends_a_wait_for_the_next_attempt() -> None:
    failed = asyncio.Event()

    def roll() -> float:
        failed.set()
        return 0.0

    async with serve(plain(503, Retry_After="30")) as server, Stream(server.url, roll=roll) as stream:
        waiting = asyncio.create_task(anext(stream), name="waiting")
        await failed.wait()
        stream.close()
        with pytest.raises(StopAsyncIteration):
            await waiting


async def test_what_cannot_be_sent_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="not an http"):
        Stream("ftp://127.0.0.1")
    with pytest.raises(ValueError, match="line break"):
        Stream("http://127.0.0.1", token="a\r\nX-Admin: 1")
    with pytest.raises(ValueError, match="user name"):
        Stream("http://me:pw@127.0.0.1")
    with pytest.raises(SlipstreamError):
        Stream("http://127.0.0.1", last_event_id="42")


async def test_it_asks_for_terms_and_goes_by_what_was_agreed() -> None:
    agreed = {"X_Retry_Policy": "max-jitter=0ms, backoff=constant, max-attempts=3", "X_Retry_Backoff_Base": "1"}
    script = [plain(503, Retry_After="0", **agreed)] * 9
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        with pytest.raises(Unreachable, match="3 attempts"):
            await anext(stream)
        assert len(server.requests) == 3
        assert server.header(0, "Retry-Preferences") == "backoff=exponential, idempotency-aware=true, max-attempts=30"
        assert stream.retry.terms[:3] == (1, 0, Backoff.constant)


async def test_a_status_that_the_server_does_not_name_stays() -> None:
    async with (
        serve(plain(503, X_Retry_Policy="retryable=(429)")) as server,
        Stream(server.url, retry=fast(), preferences=Preferences()) as stream,
    ):
        with pytest.raises(Refused):
            await anext(stream)
        assert server.header(0, "Retry-Preferences") is None


async def test_a_stream_goes_on_with_the_wait_of_an_earlier_one() -> None:
    async with serve(plain(503, Retry_After="1")) as server, Stream(server.url, retry=fast(attempts=1)) as stream:
        with pytest.raises(Unreachable):
            await anext(stream)
        kept = json.loads(json.dumps(stream.retry.to_dict()))
    async with serve(frames(ready(0), event(1), hold=True)) as server:
        began = asyncio.get_running_loop().time()
        async with Stream(server.url, retry=RetryState.from_dict(kept)) as stream:
            await take(stream, 1)
            assert asyncio.get_running_loop().time() - began >= 0.9
            assert (stream.retry.attempt, stream.retry.code) == (0, "")


async def test_the_code_of_an_error_that_says_no_time_decides() -> None:
    script = (frames(ready(0), event(1), error(None, "SSE_SLOW_CONSUMER")), frames(error(None, "SSE_FORBIDDEN")))
    async with serve(*script) as server, Stream(server.url, retry=fast()) as stream:
        await take(stream, 1)
        with pytest.raises(Refused) as refusal:
            await anext(stream)
        assert (refusal.value.code, len(server.requests)) == ("SSE_FORBIDDEN", 2)
