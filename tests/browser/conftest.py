"""Real browsers, headless, and a page that tells the test what its EventSource saw."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from tests.integration.cluster import Cluster
from tests.servers import HOST, NatsServer

PAGE = """<!doctype html><meta charset=utf-8><title>test</title><script>
const seen = [], told = new URLSearchParams(location.search), withCredentials = told.has("credentials");
const source = new EventSource(told.get("stream"), {withCredentials});
const note = (kind, event) => {
  seen.push([kind, event.lastEventId ?? "", event.data ?? "", source.readyState]);
  fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
};
for (const name of ["stream.ready", "stream.gap", "stream.drain", ...told.get("names").split(",")])
  source.addEventListener(name, event => note(name, event));
source.onerror = event => note(event.data === undefined ? "transport" : "error", event);
if (told.has("publish"))
  fetch(told.get("stream"), {
    method: "POST",
    body: told.get("publish"),
    credentials: withCredentials ? "include" : "omit",
    headers: {"Content-Type": "application/json", "Idempotency-Key": "from the page"},
  }).then(
    answer => note("answered", {data: `${answer.status} ${answer.headers.get("Idempotency-Support")}`}),
    () => note("unanswered", {}));
</script>"""

CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FIREFOX = ("firefox-esr", "--headless", "--no-remote", "--new-instance")


class Browser:
    """A page in a browser; `seen` is what its EventSource has told so far: kind, last id, data, readyState.

    page: its HTML. front: answers what the page's own origin is asked below /v1, where it is not None.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.page = PAGE
        self.front: Handler | None = None
        self.seen: list[tuple[str, str, str, int]] = []
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    async def serve(self) -> str:
        """Serve the page; its origin."""
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_post("/seen", self._seen)
        if self.front is not None:
            app.router.add_route("*", "/v1/{rest:.*}", self.front)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def open(self, stream: str, names: str, **told: str) -> None:
        """Serve the page and show it."""
        await self.show(await self.serve(), stream, names, **told)

    async def show(self, origin: str, stream: str, names: str, **told: str) -> None:
        """Show the page that is served.

        told: `credentials`, for a stream with credentials; `publish`, what the page posts to the stream's address.
        """
        url = f"{origin}/?{urlencode({'stream': stream, 'names': names, **told})}"
        profile = self._folder / self.name
        profile.mkdir()
        command = (
            (*CHROMIUM, f"--user-data-dir={profile}", "--remote-debugging-port=0", url)
            if self.name == "chromium"
            else (*FIREFOX, "--profile", str(profile), url)
        )
        if shutil.which(command[0]) is None:
            pytest.fail(f"there is no {command[0]}: run `make test-browser`, which installs it")
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._folder), "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
            start_new_session=True,
        )

    async def until(self, kind: str, count: int, seconds: float = 40.0) -> list[tuple[str, str, str, int]]:
        """What was seen, once `kind` was seen `count` times."""
        async with asyncio.timeout(seconds):
            while sum(one[0] == kind for one in self.seen) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.seen

    async def close(self) -> None:
        """End the browser, with all of its children, and the page's server."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.page, content_type="text/html")

    async def _seen(self, request: web.Request) -> web.Response:
        seen: list[Any] = await request.json()
        if len(seen) >= len(self.seen):
            self.seen = [(str(kind), str(last), str(data), int(state)) for kind, last, data, state in seen]
            self._changed.set()
        return web.Response()


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Browser]:
    one = Browser(request.param, tmp_path)
    yield one
    await one.close()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with NatsServer(tmp_path) as nats, Cluster.on(nats) as one:
        yield one
