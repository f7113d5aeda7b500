"""The `Nats-Msg-Id` of an event that its producer gave an id: what makes a retry safe, over HTTP and the command line.

JetStream remembers these for 120 s over the whole stream (NATS ADR-4, "Message Deduplication"), while a producer's id
is its own only within a scope; so both go into one digest.
"""

import base64
import hashlib
from typing import Final

from slipstream.protocol.errors import Code, SlipstreamError, quoted

LENGTH: Final = 22
"""Characters of a message id: 132 of the digest's bits, far beyond any chance of two alike."""


def message_id(scope: str, id: str) -> str:  # noqa: A002 - what the producer calls it
    """The first 22 characters of base64url(sha256(scope, NUL, id)), both as UTF-8.

    scope: within what the id is unique: a CloudEvent's `source`, else the topic. id: the producer's, of any length.

    Raises SlipstreamError BAD_REQUEST for an empty id, which would make all events of a scope one event; for a NUL in
    the scope, which would let it reach into another scope's ids; and for text that has no UTF-8.
    """
    if not id:
        raise SlipstreamError(Code.BAD_REQUEST, "The event's id is empty: leave it out, or give each event its own.")
    if "\0" in scope:
        raise SlipstreamError(Code.BAD_REQUEST, f"The source {quoted(scope)} has a NUL in it: use a URI-reference.")
    try:
        text = f"{scope}\0{id}".encode()
    except UnicodeEncodeError as error:
        raise SlipstreamError(
            Code.BAD_REQUEST, f"The id {quoted(id)} or its source has a lone surrogate: send UTF-8."
        ) from error
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode()[:LENGTH]
