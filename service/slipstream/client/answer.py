"""What an answer that is no open stream means: give up, or come back later. Pure."""

import json
import re
from dataclasses import dataclass
from typing import Final

from slipstream.client.http import Head
from slipstream.protocol.errors import CATALOGUE, Code
from slipstream.protocol.retry import BASE_HEADER, POLICY_HEADER, Terms

_SECONDS: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_CODES: Final = frozenset(Code)


class Refused(Exception):
    """The server will not serve this request however often it is repeated.

    code: of the catalogue (`SSE_FORBIDDEN` ...), "" when the answer was not Slipstream's.
    status: the HTTP status; 200 when an open stream was ended for good.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Later:
    """The server asks to come back. after: in how many seconds, None when it did not say."""

    code: str
    message: str
    status: int
    after: float | None


def is_stream(head: Head) -> bool:
    """Whether the body that follows is an event stream as asked for: 200, the media type, no content coding."""
    media = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = head.headers.get("content-encoding", "identity").lower()
    return head.status == 200 and media == "text/event-stream" and coding == "identity"  # noqa: PLR2004


def agreed(head: Head, before: Terms) -> Terms:
    """The terms of coming back that an answer tells; those from before for what it does not."""
    headers = head.headers
    return Terms.read(headers.get(POLICY_HEADER.lower(), ""), headers.get(BASE_HEADER.lower(), ""), before)


def judge(head: Head, body: bytes, terms: Terms) -> Refused | Later:
    """The meaning of an answer that is not `is_stream`: a problem document (RFC 9457), or a stranger's answer.

    terms: those of this answer; they say which statuses pass. All others stay until someone changes the request or the
    server. Only the delta-seconds form of Retry-After is read (RFC 9110 section 10.2.3).
    """
    document = _object(body) if "json" in head.headers.get("content-type", "") else {}
    code = _text(document, "code")
    message = _text(document, "detail") or _text(document, "title") or head.reason or "no reason given"
    if head.status == 200:  # noqa: PLR2004
        kind = head.headers.get("content-type", "nothing")
        coding = head.headers.get("content-encoding", "no coding")
        return Refused(code, f"the answer is {kind} with {coding}, not a plain event stream: check the URL", 200)
    if not terms.covers(head.status):
        return Refused(code, message, head.status)
    after = head.headers.get("retry-after", "")
    return Later(code, message, head.status, float(after) if _SECONDS.fullmatch(after) else None)


def judge_error(data: str) -> Refused | Later:
    """The meaning of an `error` event's data: `retry` is false, true, or the ms after which to come back.

    Where it says none of them, the catalogue says of the code whether it passes; an unknown one does.
    """
    document = _object(data.encode())
    code, message = _text(document, "code"), _text(document, "message") or "no message"
    retry = document.get("retry")
    lasting = code in _CODES and not CATALOGUE[Code(code)].passing
    if retry is False or (lasting and not isinstance(retry, int)):
        return Refused(code, message, 200)
    timed = isinstance(retry, int) and not isinstance(retry, bool)
    return Later(code, message, 200, retry / 1000 if timed and isinstance(retry, int) else None)


def heartbeat_seconds(data: str) -> float | None:
    """The heartbeat interval that a `stream.ready` event's data announces, None when it announces none."""
    found = _object(data.encode()).get("heartbeat_ms")
    return found / 1000 if isinstance(found, int) and found > 0 else None


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(document: dict[str, object], key: str) -> str:
    found = document.get(key, "")
    return found if isinstance(found, str) else ""
