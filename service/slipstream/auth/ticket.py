"""Tickets: a token packed for one request's URL, so that a page whose EventSource cannot send headers gets in.

A ticket is a Fernet token (https://github.com/fernet/spec): encrypted, signed and timed. So nothing of the token can be
read in URLs and logs, and what is found there is worth nothing: a ticket is good for some seconds, and once.
"""

from __future__ import annotations

import base64
import re
import struct
from typing import Final, NamedTuple, Protocol

from cryptography.fernet import Fernet, InvalidToken

from slipstream.auth.claims import refuse
from slipstream.auth.verify import TOKEN_BYTES

LIFE: Final = 30
"""Seconds for which a ticket is good, by the clock of the process that is shown it."""

SKEW: Final = 5
"""Seconds by which the clocks of two processes may differ; a ticket from further ahead is refused."""

ID_BYTES: Final = 16
KEY_BYTES: Final = 44
"""Length of a key as text: 32 bytes in base64."""

_DAY: Final = 86_400
_VERSION: Final = 0x80
# Version, time, initialization vector, one block at least, signature: in whole blocks, and no longer than a token.
_LEAST: Final = 1 + 8 + 16 + 16 + 32
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]+")
_LENGTH_MAX: Final = TOKEN_BYTES * 4 // 3 + 256
_HEAD: Final = struct.Struct(f">{ID_BYTES}sQ")


class Ticket(NamedTuple):
    """What was in a ticket. id: its own, by which it is spent. expires_at: when the token ends, in Unix seconds."""

    id: str
    token: str
    expires_at: int


class TicketStore(Protocol):
    """What all processes know together: the keys of tickets, and which tickets were spent.

    Raises UPSTREAM_UNAVAILABLE when the others cannot be asked: nobody is let in without.
    """

    async def key(self, day: int) -> bytes:
        """The one key of this day (days since 1970), made by whoever needs it first."""
        ...

    async def spend(self, ticket_id: str) -> bool:
        """Whether this is the first use of the ticket, anywhere."""
        ...


class Sealed(NamedTuple):
    """A ticket that nobody has looked into yet. made_at: Unix seconds, as it says itself.

    What is malformed or too old never gets so far: it is refused without a key.
    """

    text: str
    made_at: int

    @property
    def day(self) -> int:
        """Whose key it was made with, as it says itself."""
        return day_of(self.made_at)

    @classmethod
    def parse(cls, text: str, now: float) -> Sealed:
        """Read the form and the time. Raises UNAUTHORIZED."""
        if len(text) > _LENGTH_MAX or not _ALPHABET.fullmatch(text):
            refuse("it is no ticket")
        padded = text + "=" * (-len(text) % 4)
        try:
            data = base64.urlsafe_b64decode(padded)
        except ValueError:
            refuse("it is no ticket")
        if len(data) < _LEAST or data[0] != _VERSION:
            refuse("it is no ticket")
        made_at = int.from_bytes(data[1:9], "big")
        if not now - LIFE <= made_at <= now + SKEW:
            refuse(f"the ticket is older than {LIFE} s")
        return cls(padded, made_at)

    def open(self, key: bytes, now: float) -> Ticket:
        """What is in it. Raises UNAUTHORIZED where it was not made with this key, or is too old."""
        try:
            # Fernet's own patience with the future is 60 s; `parse` has less.
            content = Fernet(key).decrypt_at_time(self.text, LIFE, int(now))
        except InvalidToken:
            refuse("it is no ticket of ours, or too old")
        ticket_id, expires_at = _HEAD.unpack_from(content)
        return Ticket(ticket_id.hex(), content[_HEAD.size :].decode(), expires_at)


def seal(key: bytes, ticket_id: bytes, token: str, expires_at: int, now: float) -> str:
    """A ticket for `token`, which is verified and ends at `expires_at`; `key` is that of `day_of(now)`.

    ticket_id: 16 random bytes. Without the `=` of base64, which would have to be escaped in a URL.
    """
    content = _HEAD.pack(ticket_id, expires_at) + token.encode()
    return Fernet(key).encrypt_at_time(content, int(now)).decode().rstrip("=")


def new_key() -> bytes:
    """A key for a day."""
    return Fernet.generate_key()


def day_of(time: float) -> int:
    """The day of a time in Unix seconds."""
    return int(time) // _DAY
