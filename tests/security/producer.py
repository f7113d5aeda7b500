"""A producer that writes NATS' protocol itself: headers and subjects that no client library would send."""

import asyncio

from tests.integration.wire import PATIENCE
from tests.servers import HOST, NatsServer


async def publish(nats: NatsServer, subject: str, headers: bytes = b"", payload: bytes = b"1") -> None:
    """One HPUB with these bytes as its header lines, stored when this returns. AssertionError where NATS refuses it."""
    block = b"NATS/1.0\r\n" + headers + b"\r\n"
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(HOST, nats.port)
        try:
            # Not pedantic: else the server itself looks at subjects.
            writer.write(
                b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
                b"SUB _INBOX.raw 1\r\n"
                + f"HPUB {subject} _INBOX.raw {len(block)} {len(block) + len(payload)}\r\n".encode()
                + block
                + payload
                + b"\r\n"
            )
            told = b""
            while not told.startswith((b"{", b"-ERR")):
                told = await reader.readline()
                assert told, "NATS closed the connection"
            assert b'"seq"' in told, told
        finally:
            writer.close()
