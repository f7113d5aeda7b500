import json

import pytest

from slipstream.client.answer import Later, Refused, heartbeat_seconds, is_stream, judge, judge_error
from slipstream.client.http import Head
from slipstream.protocol.retry import Terms

PROBLEM = {"content-type": "application/problem+json"}


def problem(code: str) -> bytes:
    return json.dumps({"type": "about:blank", "title": "T", "detail": "D", "code": code}).encode()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 410, 204])
def test_what_stays_is_a_refusal_with_the_servers_code_and_words(status: int) -> None:
    verdict = judge(Head(status, "R", PROBLEM), problem("SSE_X"), Terms())
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.message, verdict.status) == ("SSE_X", "D", status)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_passes_is_tried_later(status: int) -> None:
    headers = PROBLEM | {"retry-after": "7"}
    assert judge(Head(status, "R", headers), problem("SSE_X"), Terms()) == Later("SSE_X", "D", status, 7.0)
    assert judge(Head(status, "R", PROBLEM), problem("SSE_X"), Terms()) == Later("SSE_X", "D", status, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"code": 5}', b"\xff"])
def test_a_strangers_answer_has_no_code(body: bytes) -> None:
    assert judge(Head(502, "Bad Gateway", PROBLEM), body, Terms()) == Later("", "Bad Gateway", 502, None)


def test_200_that_is_no_event_stream_says_what_it_is() -> None:
    verdict = judge(Head(200, "OK", {"content-type": "text/html"}), b"", Terms())
    assert isinstance(verdict, Refused)
    assert "text/html" in str(verdict)
    assert not is_stream(Head(200, "OK", {"content-type": "text/event-stream", "content-encoding": "gzip"}))
    assert is_stream(Head(200, "OK", {"content-type": "text/event-stream; charset=utf-8"}))


def test_an_error_frame_says_whether_to_come_back() -> None:
    def frame(retry: object) -> str:
        return json.dumps({"code": "SSE_C", "message": "M", "retry": retry, "trace_id": None})

    assert isinstance(judge_error(frame(False)), Refused)
    for unclear in (True, None, "soon"):
        assert judge_error(frame(unclear)) == Later("SSE_C", "M", 200, None)
    assert judge_error(frame(0)) == Later("SSE_C", "M", 200, 0.0)
    assert judge_error(frame(2500)) == Later("SSE_C", "M", 200, 2.5)


def test_the_heartbeat_is_read_in_seconds_or_not_at_all() -> None:
    assert heartbeat_seconds('{"heartbeat_ms": 15000}') == 15.0
    assert heartbeat_seconds('{"heartbeat_ms": 0}') is None
    assert heartbeat_seconds("not json") is None
