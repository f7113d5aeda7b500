"""A reader of event streams: one stream that survives every reconnect, on plain asyncio.

House rules:

1. `parser`, `http`, `order`, `backoff` and `answer` are pure: bytes and numbers in, values out. Only `connection` and
   `stream` wait, and every wait has a deadline.
2. Of Slipstream only `protocol` is used here: this code shares nothing with the server that it reads from.
3. A loss, a refusal or a disorder is never smoothed over: it is a message or an exception.
"""

from slipstream.client.answer import Refused
from slipstream.client.order import OrderViolation
from slipstream.client.parser import Message
from slipstream.client.stream import Counters, Stream, Unreachable

__all__ = ["Counters", "Message", "OrderViolation", "Refused", "Stream", "Unreachable"]
