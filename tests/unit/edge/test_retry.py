"""When a refusal says to come back: the later one of what it knows itself and what was agreed."""

import pytest
from aiohttp.test_utils import make_mocked_request

from slipstream.edge.retry import _TERMS, retry_after, retry_ms
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.retry import Terms


@pytest.mark.parametrize(
    ("method", "known", "seconds", "streamed_ms"),
    [
        ("GET", None, 2, 2_000),
        ("GET", 0.5, 2, 2_000),
        ("GET", 5.25, 6, 5_250),
        ("HEAD", 0.5, 2, 2_000),
        # A producer has events to get rid of.
        ("POST", None, 2, 2_000),
        ("POST", 0.5, 1, 2_000),
        ("POST", 5.25, 6, 5_250),
    ],
)
def test_a_reader_waits_for_the_base_at_least_and_a_producer_as_long_as_the_error_says(
    method: str, known: float | None, seconds: int, streamed_ms: int
) -> None:
    request = make_mocked_request(method, "/v1/events")
    request[_TERMS] = Terms(base_ms=2_000, max_jitter_ms=0)
    error = SlipstreamError(Code.OVERLOADED, "too many", retry_after=known)
    assert retry_after(request, error) == seconds
    assert retry_ms(request, error) == streamed_ms


def test_the_jitter_comes_on_top() -> None:
    request = make_mocked_request("GET", "/v1/events")
    request[_TERMS] = Terms(base_ms=2_000, max_jitter_ms=8_000)
    error = SlipstreamError(Code.OVERLOADED, "too many", retry_after=3.0)
    told = [retry_after(request, error) for _ in range(200)]
    assert (min(told), max(told)) == (4, 11)
    streamed = [retry_ms(request, error) for _ in range(200)]
    assert all(3_000 <= ms < 11_000 for ms in streamed)
    assert max(streamed) - min(streamed) > 4_000
