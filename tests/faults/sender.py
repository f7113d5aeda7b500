"""A producer that is going to be killed: sends what it reads from stdin, a JSON array a line, and waits for no answer.

``python -m tests.faults.sender URL...``; each line is ``[subject, id, name, data]``. It says so when all are sent.
"""

import asyncio
import json
import sys

import nats

KILLED_BY_THEN_SECONDS = 30.0


async def main() -> None:
    """Send, say so, and wait for the end."""
    client = await nats.connect(sys.argv[1:])
    # The acknowledgements are asked for, as by any producer, and never read.
    reply = client.new_inbox()
    for line in sys.stdin:
        subject, id_, name, data = json.loads(line)
        headers = {"Nats-Msg-Id": id_, "Sse-Event": name}
        await client.publish(subject, data.encode(), reply=reply, headers=headers)
    await client.flush(timeout=5)
    print("sent", flush=True)  # noqa: T201 - what the parent waits for
    await asyncio.sleep(KILLED_BY_THEN_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
