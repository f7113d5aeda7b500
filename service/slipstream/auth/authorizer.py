"""What a tenant's authorizer is asked, what its answers mean, and how long they count. Pure: time is an argument."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Final, NamedTuple

import orjson

from slipstream.auth.remembered import Remembered
from slipstream.tenants.authorizer import Authorizer

ANSWER_BYTES: Final = 64 * 1_024
"""Longest answer that is read."""

ANSWERS_MAX: Final = 16_384
"""Most answers that an edge remembers, of all tenants together."""


class Question(NamedTuple):
    """Whether `subject` of `tenant` may do this.

    action: `subscribe`, `publish` or `admin`. topics: what it is to be done with, sorted, patterns among them.
    """

    tenant: str
    subject: str
    action: str
    topics: tuple[str, ...]

    def body(self) -> bytes:
        """As it is posted."""
        return orjson.dumps(self._asdict())

    def key(self, authorizer: Authorizer, token: str) -> bytes:
        """What its answer is remembered by: all that the answer can depend on. 32 bytes, from which nothing is read."""
        asked = orjson.dumps((authorizer.url, hashlib.sha256(token.encode()).hexdigest(), *self))
        return hashlib.sha256(asked).digest()


class Unreadable(ValueError):
    """An answer that is neither yes nor no; the message says why, with nothing of the answer."""


def read_answer(status: int, body: bytes) -> bool:
    """Whether the caller is let in. Raises Unreadable for everything that is no answer, redirects included."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return False
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise Unreadable(f"the answer is {status}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unreadable("the answer is not JSON") from None
    allow = document.get("allow") if isinstance(document, dict) else None
    if not isinstance(allow, bool):
        raise Unreadable('the answer has no "allow": true or false')
    return allow


class _Given(NamedTuple):
    allow: bool
    at: float
    ends: float


class Answers:
    """Those that were given. Times are monotonic seconds.

    When there are too many, the tenant with the most loses its oldest: who asks a lot takes nobody else's place.
    """

    def __init__(self, most: int = ANSWERS_MAX) -> None:
        self._given: Remembered[tuple[str, bytes], _Given] = Remembered(most)

    def __len__(self) -> int:
        return len(self._given)

    def find(self, tenant: str, key: bytes, now: float, cache: float) -> bool | None:
        """The answer, if one was given within `cache` seconds and its token is good still."""
        given = self._given.peek((tenant, key))
        if given is None or now - given.at >= cache or now >= given.ends:
            return None
        return given.allow

    def keep(self, tenant: str, key: bytes, allow: bool, now: float, ends: float) -> None:  # noqa: FBT001 - it is data
        """`allow` was the answer at `now`; it counts until `ends`, when the token does, at the longest."""
        self._given.keep(tenant, (tenant, key), _Given(allow, now, ends))
