"""What to do about a told loss, and about a refusal: the words on stderr. Pure."""

import json
import re
from http import HTTPStatus
from typing import Final

from slipstream.protocol.control import Reason
from slipstream.protocol.errors import CATALOGUE, Code

_NO_TLS: Final = re.compile("wrong.version.number|record.layer.failure", re.IGNORECASE)
"""What OpenSSL says of an answer that is none of TLS."""

_LOAD_ANEW: Final = "what was built from earlier events may be wrong: load it anew (--from last, or --from earliest)"

GAP_ADVICE: Final = {
    Reason.expired: "come back sooner, or keep events longer: retention.max_age and max_bytes of the tenant",
    Reason.reset: f"the stream was made anew, or the id is another tenant's; {_LOAD_ANEW}",
    Reason.rewritten: f"the log lost its end and uses the numbers again; {_LOAD_ANEW}",
    Reason.ahead: f"the log ends before that id: it was restored, or the id is another cluster's; {_LOAD_ANEW}",
    Reason.limited: "more was missed than one resume may replay: come back sooner, raise the tenant's quota, or begin"
    " with --from last",
    Reason.undeliverable: "its producer sent what cannot be sent on (not UTF-8, a forbidden name, too large):"
    " `nats stream get` with the stream SSE_<tenant> and the number in the id shows it",
    Reason.withheld: "it could not be masked, so it was kept back: look at the tenant's masking rules and that event",
}


def gap_line(data: str) -> str:
    """A told loss in words, with what to do. data: of the `stream.gap` event."""
    try:
        found = json.loads(data)
        certain = "events ARE missing" if found["certain"] else "events MAY be missing"
        text = (
            f"GAP ({found['reason']}, {found['code']}): {certain} after {found['requested'] or 'this place'};"
            f" goes on after {found['from'] or 'it'}"
        )
        advice = GAP_ADVICE.get(found["reason"])
    except (ValueError, KeyError, TypeError):
        return f"GAP: events are missing: {printable(data)}"
    return printable(f"{text}. What to do: {advice}." if advice else text)


def refusal(code: str, message: str, status: int) -> str:
    """A refusal in words, with what to do where the catalogue knows. code: "" when it was not Slipstream's."""
    told = f"refused: {status} {code}: {message}" if code else f"refused: {status}: {message}"
    fix = CATALOGUE[Code(code)].fix if code in set(Code) else ""
    if status == HTTPStatus.UNAUTHORIZED:
        fix = f"{fix} Give it by --token or SLIPSTREAM_TOKEN.".strip()
    if status == HTTPStatus.NOT_FOUND and not code:
        fix = "The URL is the server's root, as http://127.0.0.1:8080."
    return printable(f"{told.rstrip('.')}. {fix}" if fix else told)


def failure(told: str) -> str:
    """What the client says of a connection that failed, with what to do where that can be told."""
    return f"{told} (the server speaks no TLS there: is it http://?)" if _NO_TLS.search(told) else told


def printable(data: str) -> str:
    """Data on one line, without control characters: an event must not move the reader's cursor (CWE-150)."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in data)
