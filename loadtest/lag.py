"""`python -m loadtest.lag`: how late the edge's loop is under full fan-out, while new clients come all the time.

The edge looks at its own loop every 10 ms (`/statusz`, `loop_lag_ms`), a stall counts for each look that it hid.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from loadtest.bench import fitting
from loadtest.child import ChildFailed
from loadtest.command import carry_out, parser
from loadtest.machine import raise_descriptor_limit
from loadtest.measure import TARGET, Settings, Show, faults, open_streams, publishing_to
from loadtest.monitoring import status
from loadtest.readers import Plan
from loadtest.result import Aim, Result, figures, limits
from loadtest.servers import stack
from loadtest.worker import reader_process
from slipstream.cli.dev.ports import HOST

WINDOW_SECONDS: Final = 10.0
"""How far back the edge remembers."""

_SETTLE_SECONDS: Final = 3.0
_ARRIVE_SECONDS: Final = 20.0
"""Readers give a connection up after ten seconds, so that by then each is open or has failed."""


async def lag(settings: Settings, connections: int, rate: float, arriving: int, show: Show) -> Result:
    """Fan out `rate` events a second to everybody, while `arriving` clients a second come, and stay."""
    new = round(arriving * settings.seconds)
    show("starting nats-server and the edge")
    async with (
        stack(settings.cores, connections=connections + new, store=settings.store, loop=settings.loop) as servers,
        open_streams(settings, servers, connections, show) as groups,
        publishing_to(settings, servers, groups, show) as run,
    ):
        await run.window(0.5, rate, settle=_SETTLE_SECONDS)
        plan = Plan(HOST, servers.port, TARGET, new, float(arriving), pause_seconds=0.02)
        arrivals = reader_process(plan, name="arriving", folder=servers.folder, cores=settings.cores.others)
        async with arrivals as worker:
            window = await run.window(settings.seconds, rate)
            late = (await status(servers))["loop_lag_ms"]
            came = await worker.until(lambda report: report.opening == 0, _ARRIVE_SECONDS, "open its connections")
        received, published = await run.drain()
    found = faults(received, published, connections)
    if failed := came.received.failed:
        found.append(f"{failed.total():,} new clients were not served: {dict(failed)}")
    notes = limits([(rate, window)])
    if settings.seconds < WINDOW_SECONDS:
        notes.append(f"the lateness is that of {WINDOW_SECONDS:g} s, of which {settings.seconds:g} s were measured")
    return Result(
        "lag",
        f"{connections:,} streams, {rate:g} events/s, {arriving} new clients/s",
        late["p99"],
        Aim(10, "ms, loop lag p99", at_most=True),
        {
            "loop lag p50, ms": late["p50"],
            "loop lag p99, ms": late["p99"],
            "loop lag max, ms": late["max"],
            "new clients": came.live,
            **figures(window),
        },
        notes,
        found,
    )


def main(arguments: Sequence[str]) -> int:
    """Entry point."""
    made = parser("loadtest.lag", __doc__, connections=10_000, seconds=12)
    made.add_argument("--rate", type=float, default=20, help="events a second (default 20)")
    made.add_argument("--arriving", type=int, default=100, metavar="N", help="new clients a second (default 100)")
    options = made.parse_args(arguments)
    return carry_out("lag", options, lambda settings, show: _run(options, settings, show))


async def _run(options: argparse.Namespace, settings: Settings, show: Show) -> Result:
    wanted = options.connections + round(options.arriving * options.seconds)
    allowed, processes = fitting(wanted, raise_descriptor_limit())
    if allowed < wanted:
        raise ChildFailed(f"{wanted:,} streams need more open files than this process may have: ulimit -Hn")
    settings = Settings(
        settings.cores, settings.seconds, max(processes, settings.processes), settings.store, settings.loop
    )
    return await lag(settings, options.connections, options.rate, options.arriving, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
