"""Texts that nobody should send, and what may come of reading them."""

import contextlib
import re
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar, cast

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from slipstream.protocol.errors import SlipstreamError
from slipstream.tenants.document import TenantError
from tests.security.attacks import attack

SOME = settings(max_examples=100, deadline=None, database=None)
T = TypeVar("T")
ANY = attack("any text, header, body, token, key set, document")

NASTY = st.sampled_from(
    ["\0", "\r\n", "\n", "\x85", "\u2028", "\ufeff", "\ud800", "%00", "../", "$JS", ">", "*", ".", " ", "\t", "-", "_",
     "a", "Z", "9", "\u0663", "\uff19", "1e9", "nan", "inf", "0x1", "''", '"', "\\", "{", "[", ":", ",", ";", "=", "&",
     "null", "true", "now", "event", "gzip;q=", "x" * 300]
)  # fmt: skip
TEXT = st.lists(NASTY, max_size=6).map("".join) | st.text(max_size=20)
HEADER = TEXT.map(lambda text: re.sub(r"[\r\n\0]", "", text))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
QUOTED = 600
"""Characters that a message has at most, whatever it quotes."""
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@contextlib.contextmanager
def refused(*statuses: int) -> Iterator[None]:
    """A value, or a refusal with one of these statuses, whose message quotes no more than a little."""
    try:
        yield
    except SlipstreamError as error:
        if error.status not in statuses or len(error.message) >= QUOTED:
            raise


@contextlib.contextmanager
def faulty() -> Iterator[None]:
    """A tenant document, or what is wrong with it."""
    try:
        yield
    except TenantError as error:
        if not error.faults:
            raise AssertionError("it does not say what is wrong") from error


def done(work: Coroutine[Any, Any, T]) -> T:
    """What comes of work that waits for nothing but its turn."""
    with contextlib.closing(work):
        while True:
            try:
                work.send(None)
            except StopIteration as end:
                return cast("T", end.value)


def as_header(text: str) -> str:
    """As aiohttp reads the bytes of a header: what is not UTF-8 is one half of a surrogate pair for each byte."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def mocked(*headers: tuple[str, str]) -> web.Request:
    """A request with these headers; what has no UTF-8 is sent raw, in test_fuzz."""
    clean = [(name, text.encode("utf-8", "replace").decode()) for name, text in headers]
    return make_mocked_request("POST", "/v1/events", headers=CIMultiDict(clean))


PARAMETERS = ("topic", "tenant", "last_event_id", "since", "heartbeat", "envelope", "refusal", "wait", "limit")
HEADERS = ("Last-Event-ID", "X-Tenant-ID", "Accept-Encoding", "Accept")
