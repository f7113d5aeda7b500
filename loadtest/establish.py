"""How fast connections are opened: streams by our own client, and whole exchanges by wrk."""

from __future__ import annotations

import re
import shutil
from typing import Final
from urllib.parse import urlencode

from loadtest.child import ChildFailed, child
from loadtest.measure import Settings
from loadtest.outcome import Established
from loadtest.roamer import Plan
from loadtest.servers import TENANT, Stack
from loadtest.subscriptions import PREFIX, target
from loadtest.worker import roaming_process
from slipstream.cli.dev.ports import HOST

STREAMS: Final = 1_000
WRK_SECONDS: Final = 4
WRK_CONNECTIONS: Final = 50

POLL: Final = "/v1/poll?" + urlencode({"topic": f"{PREFIX}.>", "tenant": TENANT, "since": "now", "wait": "0"})
"""What wrk asks for: the same way to a position as a stream has, and an answer that ends."""

_OPEN_SECONDS: Final = 60.0
_WRK_PATIENCE: Final = 30.0
_RATE: Final = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)


async def establish(servers: Stack, settings: Settings, connections: int) -> Established:
    """Measured one after the other on the first pod, with no other load.

    Raises ChildFailed when the streams are not all open after a minute, or wrk fails. Without wrk on this machine, its
    part is left out, and the report says so.
    """
    streams = min(connections, STREAMS)
    plan = Plan(HOST, [servers.port], list(range(streams)), [target([])] * streams, per_second=1e9)
    cores = settings.cores.others
    async with roaming_process(plan, name="establish", folder=servers.folder, cores=cores) as opening:
        await opening.until(lambda _: True, _OPEN_SECONDS, "start")
        found = await opening.until(lambda report: report.live == streams, _OPEN_SECONDS, "open its streams")
    seconds = (found.roamed.opened_ns - found.roamed.first_ns) / 1e9
    text = await _wrk(servers, cores)
    return Established(streams, streams / seconds if seconds else None, requests_per_second(text), text)


async def _wrk(servers: Stack, cores: frozenset[int]) -> str:
    """What wrk prints; "" where there is none."""
    if (program := shutil.which("wrk")) is None:
        return ""
    argv = [program, "--threads", "1", "--connections", str(WRK_CONNECTIONS), "--duration", f"{WRK_SECONDS}s"]
    argv += ["--latency", "--header", "Connection: close", f"http://{HOST}:{servers.port}{POLL}"]
    async with child("wrk", argv, folder=servers.folder, cores=cores) as running:
        try:
            status = await running.ended(WRK_SECONDS + _WRK_PATIENCE)
        except TimeoutError as error:
            raise running.failure("does not end") from error
        if status:
            raise running.failure(f"ended with status {status}")
        return running.log.read_text().strip()


def requests_per_second(text: str) -> float | None:
    """The rate in what wrk printed; None of nothing. Raises ChildFailed when answers were errors: they cost less."""
    if not text:
        return None
    if "Non-2xx" in text:
        raise ChildFailed(f"wrk did not get what it asked for:\n{text}")
    found = _RATE.search(text)
    return float(found[1]) if found else None
