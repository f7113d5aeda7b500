"""A kill schedule on real processes: they go, stay away, and come back on the same port."""

import functools
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from loadtest.child import ChildFailed
from loadtest.kills import carry_out
from loadtest.machine import available_cores
from loadtest.restartable import Restartable, started
from loadtest.scenario import Kill
from loadtest.servers import Pod, Stack
from slipstream.cli.dev.probe import answers
from tests.servers import free_port

CORES = available_cores().others


def server(name: str, folder: Path, port: int) -> Restartable:
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    return Restartable(name, argv, folder=folder, cores=CORES, serves=functools.partial(answers, port, "/"))


async def test_each_victim_is_ended_as_it_should_be_and_comes_back(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    nats, *edges = (server(f"server-{number}", tmp_path, port) for number, port in enumerate(ports))
    pods = tuple(Pod(edge, port, port) for edge, port in zip(edges, ports[1:], strict=True))
    stack = Stack("nats://x", tmp_path, ports[0], nats, pods)
    schedule = [
        Kill(at=0.1, what="edge", pod=0, back=0.3),
        Kill(at=0.2, what="drain", pod=1, back=0.3),
        Kill(at=0.3, what="nats", back=0.3),
    ]
    told: list[str] = []
    async with AsyncExitStack() as running:
        for each in (nats, *edges):
            await running.enter_async_context(started(each))
        before = [each.pid for each in (nats, *edges)]
        began = time.monotonic()
        await carry_out(schedule, stack, told.append)
        assert time.monotonic() - began >= 0.6
        after = [each.pid for each in (nats, *edges)]
        assert not set(before) & set(after)
        assert all([await answers(port, "/") for port in ports])
    assert told[:3] == ["pod 0: SIGKILL", "pod 1: SIGTERM", "nats-server: SIGTERM"]
    assert sorted(told[3:]) == ["nats-server: back", "pod 0: back", "pod 1: back"]
    for pid in after:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_what_is_away_cannot_be_ended(tmp_path: Path) -> None:
    async with started(server("server", tmp_path, free_port())) as running:
        await running.end(signal.SIGKILL, 10)
        with pytest.raises(ChildFailed, match="server cannot be ended: it is away already"):
            await running.end(signal.SIGKILL, 10)


def test_what_was_not_started_has_no_process(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="server was not started"):
        _ = server("server", tmp_path, 9).pid
