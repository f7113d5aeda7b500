"""What an answer must look like, for all tests of answers: a problem document, a status that passes, a short stream."""

import json

from tests.integration.wire import Answer

JSON = "Content-Type: application/json"
EVENT_SOURCE = "Accept: text/event-stream"


def problem(answer: Answer, status: int, code: str) -> str:
    """The detail of a refusal, which must be a problem document (RFC 9457) with this status and code."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json
    assert document.keys() == {"type", "title", "status", "code", "detail", "fix", "trace_id"}
    assert (document["status"], document["code"]) == (status, f"SSE_{code}")
    assert document["type"] == f"urn:slipstream:error:SSE_{code}"
    assert document["trace_id"] == answer.headers["traceparent"].split("-")[1]
    assert document["detail"]
    assert document["fix"]
    return str(document["detail"])


def short_stream(answer: Answer, code: str) -> None:
    """A refusal as a stream: wait, an error without an id, a clean end."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert answer.headers["connection"] == "close"
    (error,) = answer.events
    assert (error.event, error.id) == ("error", "")
    document = json.loads(error.data)
    assert document["code"] == f"SSE_{code}"
    assert error.retry is not None
    assert document["retry"] == error.retry >= 1000
    assert document["trace_id"] == answer.headers["traceparent"].split("-")[1]
    assert answer.body.startswith(b"retry: ")
    assert answer.body.endswith(b"\n\n")


def plain_status(answer: Answer, code: str) -> None:
    problem(answer, 503, code)
    assert int(answer.headers["retry-after"]) >= 1
