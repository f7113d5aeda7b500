"""What goes on the wire: events, frames, positions, topics, control events and errors, as values and bytes.

House rules:

1. Nothing here does I/O, waits, or knows the hour: no ``asyncio``, ``time``, ``random``, ``os``, ``socket``,
   ``logging``. A time is always an argument, in milliseconds since 1970 unless its name says otherwise.
2. Nothing here imports another part of Slipstream; of other people's work only ``orjson``.
3. Hostile input is refused with a sentence that says what to do. It is never rewritten.
"""
