"""Messages that cannot be delivered, sent straight to NATS past every check, among those that can."""

import json
import random

from tests.faults.fault import fault
from tests.faults.load import TENANTS
from tests.faults.scene import store
from tests.faults.world import World
from tests.proof.checker import Event

POISON = (
    ("text", b"caf\xe9"),
    ("text", b"\xed\xa0\x80"),
    ("error", b"{}"),
    ("open", b"{}"),
    ("message", b"{}"),
    ("stream.ready", b"{}"),
    ("stream.gap", b'{"reason":"reset"}'),
    ("a\x7fb", b"{}"),
)
"""Not UTF-8 (a Latin-1 byte; a surrogate), reserved names, a control character in a name."""
ODD = (
    ("nul", b'{"a":"\0"}'),
    ("deep", b"[" * 20_000 + b"]" * 20_000),
    ("empty", b""),
    ("lines", b"one\n\ntwo\n"),
    ("field", b"a\nevent: error\nid: x"),
    ("not-json", b'{"a":'),
)
"""Strange, and to be delivered as they are."""
EVENT_BYTES = 256 * 1024


async def _send(world: World, tenant: str, name: str, data: bytes, *, spoiled: bool) -> None:
    # Good ones of the two tenants differ, so that one who gets the other's is found.
    name = name if spoiled else f"{name}-{tenant}"
    topic = "flights.LAX.ATL" if tenant == "flights" else "quakes.ci.minor"
    book = world.books[tenant]
    event = Event(topic, name, data.decode(errors="replace"))
    book.start()
    seq = await store(world, tenant, topic, name, data, world.fresh("message"))
    book.ack(seq, event)
    if spoiled:
        book.spoil(seq)


@fault(
    "poison",
    does="messages that are not UTF-8 or have a reserved name, and odd ones: NUL, 20,000 levels deep, empty, line ends",
    undone="nothing to undo",
    checks="the bad ones are told `undeliverable` in their place to all whose topics they have; the odd ones arrive",
    seconds=2,
    touches="messages",
)
async def poison(world: World, dice: random.Random) -> str:
    wanted = [(*one, True) for one in POISON] + [(*one, False) for one in ODD]
    dice.shuffle(wanted)
    for name, data, spoiled in wanted:
        await _send(world, dice.choice(TENANTS), name, data, spoiled=spoiled)
    return f"{len(POISON)} bad and {len(ODD)} odd messages"


@fault(
    "oversized",
    does="messages one byte and many over the limit of an event, and one that just fits",
    undone="nothing to undo",
    checks="the large ones are told `undeliverable`; the one that fits arrives",
    seconds=2,
    touches="messages",
)
async def oversized(world: World, dice: random.Random) -> str:
    sizes = [EVENT_BYTES + 1, EVENT_BYTES, 900_000]
    dice.shuffle(sizes)
    for size in sizes:
        data = json.dumps({"filler": "x" * (size - len('{"filler": ""}'))}).encode()
        await _send(world, dice.choice(TENANTS), "large", data, spoiled=size > EVENT_BYTES)
    return f"{len(sizes)} messages of {min(sizes):,} to {max(sizes):,} bytes"
