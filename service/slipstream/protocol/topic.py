"""Tenants, topics and subscription filters, and the NATS subjects they become.

NATS acks a publish to `ev.*` and delivers it to nobody as meant, so the grammar is enforced here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from slipstream.protocol.errors import Code, SlipstreamError, quoted

DEPTH: Final = 8
"""Most tokens of a topic or a filter."""

_TOKEN_MAX: Final = 64
_TOKEN: Final = r"[A-Za-z0-9_-]{1,64}"
_STRANGE: Final = re.compile(r"[^A-Za-z0-9_-]")
_TOPIC: Final = re.compile(rf"{_TOKEN}(?:\.{_TOKEN}){{0,{DEPTH - 1}}}")
_TENANT: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")

_TOPIC_GRAMMAR: Final = f"1 to {DEPTH} tokens of A-Z a-z 0-9 _ - (1 to {_TOKEN_MAX} characters each) joined by dots"


def check_tenant(text: str) -> str:
    """Return the text if it is a tenant's name: a DNS label (RFC 1123 section 2.1, lower case).

    Raises SlipstreamError BAD_REQUEST.
    """
    if _TENANT.fullmatch(text) is None:
        raise SlipstreamError(
            Code.BAD_REQUEST,
            f"{quoted(text)} is not a tenant's name: use 1 to 63 characters of a-z 0-9 -, "
            "beginning and ending with a letter or digit.",
        )
    return text


def check_topic(text: str) -> str:
    """Return the text if it is a topic, which has no wildcards. Raises SlipstreamError BAD_REQUEST."""
    if _TOPIC.fullmatch(text) is None:
        raise SlipstreamError(
            Code.BAD_REQUEST,
            f"{quoted(text)} is not a topic: {_fault(text.split('.'), wildcards=False)}. Use {_TOPIC_GRAMMAR}.",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class Filter:
    """Which topics a reader wants: a topic in which `*` stands for one token and a final `>` for one or more.

    Equal, ordered and hashed by `text`. Making one from text outside the grammar raises SlipstreamError BAD_REQUEST.

    tokens: the text's tokens, wildcards included.
    literal: True when there is no wildcard, so that it matches one topic.
    """

    text: str
    tokens: tuple[str, ...] = field(init=False, compare=False, repr=False)
    literal: bool = field(init=False, compare=False, repr=False)
    # What a topic must have to match, checked in this order as the first ones are cheap and decide most cases.
    _prefix: str = field(init=False, compare=False, repr=False)
    _open: bool = field(init=False, compare=False, repr=False)
    _dots: int = field(init=False, compare=False, repr=False)
    _later: tuple[tuple[int, str], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        tokens = tuple(self.text.split("."))
        fault = _fault(tokens, wildcards=True)
        if fault:
            raise SlipstreamError(
                Code.BAD_REQUEST,
                f"{quoted(self.text)} is not a topic filter: {fault}. Use {_TOPIC_GRAMMAR}; "
                "a token may be * (any one token), the last may be > (one or more).",
            )
        wild = next((index for index, token in enumerate(tokens) if token in ("*", ">")), len(tokens))
        later = tuple((index, token) for index, token in enumerate(tokens) if index > wild and token not in ("*", ">"))
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "literal", wild == len(tokens))
        object.__setattr__(self, "_prefix", "".join(f"{token}." for token in tokens[:wild]))
        object.__setattr__(self, "_open", tokens[-1] == ">")
        object.__setattr__(self, "_dots", len(tokens) - 1)
        object.__setattr__(self, "_later", later)

    @classmethod
    def parse(cls, text: str) -> Self:
        """A filter from a request or a document. Raises SlipstreamError BAD_REQUEST."""
        return cls(text)

    def matches(self, topic: str) -> bool:
        """Whether this topic (a checked one) is wanted."""
        if self.literal:
            return topic == self.text
        if not topic.startswith(self._prefix):
            return False
        dots = topic.count(".")
        if dots != self._dots and (dots < self._dots or not self._open):
            return False
        if self._later:
            tokens = topic.split(".")
            for index, token in self._later:
                if tokens[index] != token:
                    return False
        return True

    def covers(self, other: "Filter") -> bool:
        """Whether every topic that the other matches, this one matches."""
        wanted, theirs = self.tokens, other.tokens
        for index, want in enumerate(wanted):
            if index == len(theirs):
                return False
            if want == ">":
                return True
            token = theirs[index]
            # Topics end at DEPTH tokens, so there a `>` is one token, as `*` is.
            if token == ">" and index < DEPTH - 1:
                return False
            if want not in ("*", token):
                return False
        return len(wanted) == len(theirs)


@dataclass(frozen=True, slots=True)
class Filters:
    """The topics of one stream in canonical form: equal for readers who asked for the same with the same words.

    items: at least one filter, sorted by text, none covered by another. Made by `parse`.
    """

    items: tuple[Filter, ...]

    @classmethod
    def parse(cls, texts: Iterable[str], limit: int = 32) -> Self:
        """Filters from a request; none at all is everything (`>`).

        limit: most different texts. Raises SlipstreamError BAD_REQUEST on a malformed one or too many.
        """
        distinct = sorted(set(texts)) or [">"]
        if len(distinct) > limit:
            raise SlipstreamError(
                Code.BAD_REQUEST,
                f"{len(distinct)} topics are more than the {limit} one stream may have: use wildcards or more streams.",
            )
        kept: list[Filter] = []
        for one in map(Filter.parse, distinct):
            if not any(other.covers(one) for other in kept):
                kept = [other for other in kept if not one.covers(other)]
                kept.append(one)
        return cls(tuple(kept))

    @property
    def texts(self) -> tuple[str, ...]:
        """The filters as text, in the same order."""
        return tuple(one.text for one in self.items)

    def covered_by(self, patterns: Iterable[Filter]) -> bool:
        """Whether each of the filters is within one of `patterns`."""
        patterns = tuple(patterns)
        return all(any(one.covers(wanted) for one in patterns) for wanted in self.items)

    @property
    def everything(self) -> bool:
        """Whether every topic matches."""
        return self.items[0].text == ">"

    def matches(self, topic: str) -> bool:
        """Whether any of the filters matches this topic (a checked one)."""
        for one in self.items:  # noqa: SIM110 - any() with a generator takes twice as long, and this is per event
            if one.matches(topic):
                return True
        return False

    def narrowest(self) -> str:
        """The narrowest one filter that covers all of these, for a read that takes only one.

        Direct Get's `next_by_subj` is such a read (NATS ADR-31; a list answers 408, measured).
        """
        rows = [one.tokens for one in self.items]
        shortest = min(map(len, rows))
        columns = [{row[index] for row in rows} for index in range(shortest)]
        merged = [column.pop() if len(column) == 1 else "*" for column in columns]
        if any(len(row) > shortest or row[-1] == ">" for row in rows):
            merged[-1] = ">"
        return ".".join(merged)


def subject(tenant: str, topic: str) -> str:
    """The NATS subject of a tenant's topic or filter text (both checked)."""
    return f"sse.{tenant}.{topic}"


def topic_of(subject: str) -> str:
    """The topic in a subject `sse.<tenant>.<topic>`: all but its first two tokens, unchecked.

    Raises ValueError when there is nothing behind them: such a subject is not of a tenant's stream.
    """
    try:
        return subject.split(".", 2)[2]
    except IndexError:
        raise ValueError(f"{quoted(subject)} is not sse.<tenant>.<topic>: check the stream's subjects") from None


def _fault(tokens: Sequence[str], *, wildcards: bool) -> str:
    """What is wrong with these tokens, in words; "" when nothing is."""
    if len(tokens) > DEPTH:
        return f"it has {len(tokens)} tokens"
    for number, token in enumerate(tokens, 1):
        if token in ("*", ">"):
            if not wildcards:
                return f"token {number} is the wildcard {token}"
            if token == ">" and number < len(tokens):
                return "> is not its last token"
        elif not token:
            return f"token {number} is empty"
        elif len(token) > _TOKEN_MAX:
            return f"token {number} has {len(token)} characters"
        elif strange := _STRANGE.search(token):
            return f"token {number} has the character {strange[0]!a}"
    return ""
