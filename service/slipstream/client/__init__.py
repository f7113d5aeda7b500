"""A reader and a producer of event streams that survive every reconnect, on plain asyncio.

House rules:

1. `parser`, `http`, `order`, `retry` and `answer` are pure: bytes and numbers in, values out. Only `connection`,
   `stream` and `publish` wait, and every wait has a deadline.
2. Of Slipstream only `protocol` is used here: this code shares nothing with the server that it talks to.
3. A loss, a refusal or a disorder is never smoothed over: it is a message or an exception.
"""

from slipstream.client.answer import Refused
from slipstream.client.order import OrderViolation
from slipstream.client.parser import Message
from slipstream.client.publish import Published, Publisher, Unconfirmed
from slipstream.client.retry import RetryState
from slipstream.client.stream import Counters, Stream, Unreachable
from slipstream.protocol.retry import Backoff, Preferences, Terms

__all__ = [
    "Backoff",
    "Counters",
    "Message",
    "OrderViolation",
    "Preferences",
    "Published",
    "Publisher",
    "Refused",
    "RetryState",
    "Stream",
    "Terms",
    "Unconfirmed",
    "Unreachable",
]
