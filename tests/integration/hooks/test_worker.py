"""The child by itself, spoken to as an edge would, and left alone as a killed edge would leave it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slipstream.hooks.child import environment
from slipstream.hooks.wire import LENGTHS, Frames, Plan, ask, pack
from slipstream.shape.event import Event
from slipstream.tenants.shaping import HookSpec

pytestmark = pytest.mark.usefixtures("installed")


@contextmanager
def worker(budget_ms: float = 50.0) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "slipstream.hooks.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(os.environ),
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(Plan("acme", (HookSpec(name="obey"),), budget_ms).pack())
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout is not None
    return process.stdout.read(size)


def ready(process: subprocess.Popen[bytes]) -> None:
    expected = pack(["ready"])
    assert heard(process, len(expected)) == expected


def event(command: str) -> bytes:
    return ask(1, Event("epoch-1", "a.b", command, 1_000, b"data"))


def test_in_a_hook_that_never_returns_its_own_alarm_ends_it() -> None:
    with worker(budget_ms=1.0) as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.write(event("spin"))
        assert process.wait(timeout=20.0) == -signal.SIGALRM


@pytest.mark.parametrize("last", [b"", event("")[:6], event("")[:-1]])
def test_at_the_end_of_its_input_it_ends(last: bytes) -> None:
    with worker() as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.write(last)
        process.stdin.close()
        assert process.wait(timeout=20.0) == 0
        assert heard(process, 100) == b""


def test_it_says_nothing_but_answers() -> None:
    with worker() as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.write(event("print"))
        process.stdin.close()
        rest = heard(process, 100_000)
        (frame,) = Frames(1_024).feed(rest)
        assert len(rest) < 100
        assert (frame.head, frame.body) == ([1, "changed", "print", None], b"DATA")


def test_lengths_are_eight_bytes() -> None:
    assert event("")[: LENGTHS.size] == LENGTHS.pack(len(event("")) - LENGTHS.size - 4, 4)
