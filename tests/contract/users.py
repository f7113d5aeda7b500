"""A nats-server with the users that `slipstream tenant nats-permissions` prints, and what its log says of each."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nats as nats_py
from nats.aio.client import Client
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.jetstream.permissions import Permissions
from tests.servers import HOST, NatsServer, slipstream_environment

PASSWORD = "s3cret"
HASH = "$2b$04$FyKjtUUo2SNwPQjtpLEwQO99MJ.3cVC8KrC96Nqsg1fCuutXbrlMS"
"""bcrypt of PASSWORD, at the lowest cost there is."""

_printing = CliRunner()


def printed(*arguments: str) -> str:
    """What `slipstream tenant nats-permissions` prints."""
    shown = _printing.invoke(app, ["tenant", "nats-permissions", *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def fenced(folder: Path, tenants: Iterable[str]) -> NatsServer:
    """Not started yet: edges, controller, and a producer of each tenant; its log has every message's subject."""
    names = ("base", *tenants)
    includes = "\n".join(f'  include "{name}.conf"' for name in names)
    server = NatsServer(folder, config=f"trace: true\naccounts {{\n{includes}\n}}")
    beside = server.store.parent
    (beside / "base.conf").write_text(printed("--edge", "--controller"))
    for tenant in tenants:
        (beside / f"{tenant}.conf").write_text(printed(tenant, "--password-hash", HASH))
    server.env |= {"NATS_HASH_EDGE": f'"{HASH}"', "NATS_HASH_CONTROLLER": f'"{HASH}"'}
    return server


def access(user: str) -> dict[str, str]:
    """The settings of a process of ours that enters as `user`."""
    return {"SLIPSTREAM_NATS_USER": user, "SLIPSTREAM_NATS_PASSWORD": PASSWORD}


def url_of(nats: NatsServer, user: str) -> str:
    return f"nats://{user}:{PASSWORD}@{HOST}:{nats.port}"


async def finished(argv: list[str], stdin: str = "", env: dict[str, str] | None = None) -> str:
    """What a command prints that ends well."""

    def run() -> str:
        done = subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done
        return done.stdout

    return await asyncio.to_thread(run)


async def command(nats: NatsServer, *arguments: str, stdin: str = "", group: str = "tenant") -> str:
    """What `slipstream tenant ...`, or another group of commands, prints, as the controller's user."""
    env = slipstream_environment(nats.url) | access("controller")
    return await finished([sys.executable, "-m", "slipstream", group, *arguments], stdin, env)


def document(name: str, **spec: Any) -> str:
    return json.dumps(
        {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": spec}
    )


class Work(NamedTuple):
    """What the server saw of one user: the subjects it published to, and the lines about what was refused."""

    published: set[str]
    refused: list[str]

    def unused(self, allowed: Permissions) -> list[str]:
        """The patterns that nothing was published to."""
        return [pattern for pattern in allowed.publish if not any(covers(pattern, one) for one in self.published)]


class Watch:
    """Reads the server's log from here on."""

    def __init__(self, nats: NatsServer) -> None:
        self._log = nats.log
        self._from = nats.log.stat().st_size

    def work(self, user: str) -> Work:
        with self._log.open("rb") as log:
            log.seek(self._from)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if f'/user:{user}"' in line]
        published = {found[1] for line in lines if (found := re.search(r"<<- \[H?PUB (\S+)", line))}
        return Work(published, [line for line in lines if "Violation" in line])


def covers(pattern: str, subject: str) -> bool:
    """Whether a NATS pattern takes a subject in."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(one in ("*", two) for one, two in zip(wanted, given, strict=True))


class Held:
    """A plain client and the permission violations that it was told."""

    def __init__(self, client: Client, told: list[str]) -> None:
        self.client = client
        self._told = told

    async def refused(self) -> list[str]:
        """What was refused until now: the server answers in order."""
        # The PING of nats-py's first flush overtakes what is still to be written.
        await self.client.flush(5)
        await self.client.flush(5)
        told, self._told[:] = list(self._told), []
        return told

    async def cannot_publish(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            await self.client.publish(subject, b"{}", reply=self.client.new_inbox())
        expected = [f'nats: permissions violation for publish to "{subject}"'.lower() for subject in subjects]
        assert await self.refused() == expected

    async def cannot_subscribe(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            await self.client.subscribe(subject)
        expected = [f'nats: permissions violation for subscription to "{subject}"'.lower() for subject in subjects]
        assert await self.refused() == expected


@asynccontextmanager
async def entered(nats: NatsServer, user: str, prefix: str = "_INBOX") -> AsyncIterator[Held]:
    """A connection as `user`, of nats-py as it is."""
    told: list[str] = []

    async def tell(error: Exception) -> None:
        told.append(str(error))

    client = await nats_py.connect(
        nats.url, user=user, password=PASSWORD, inbox_prefix=prefix, error_cb=tell, allow_reconnect=False
    )
    try:
        yield Held(client, told)
    finally:
        await client.close()
