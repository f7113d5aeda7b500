"""The host with real children and a real package: what a hook does wrong costs one event, never the next."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from slipstream.hooks.host import Cause, Host
from slipstream.hooks.wire import Plan
from slipstream.hooks.work import Window
from slipstream.protocol.errors import SlipstreamError
from slipstream.resilience.breaker import Breaker
from slipstream.shape.event import Dropped, Event, Outcome, SecretMissing, Withheld
from slipstream.tenants.shaping import HookSpec
from tests.contract.pod import until

pytestmark = pytest.mark.usefixtures("installed")

T = TypeVar("T")

_MIB = 1024 * 1024
_EVENT_BYTES = _MIB


def event(seq: int, command: str = "", data: bytes = b"some data") -> Event:
    return Event(f"epoch-{seq}", "a.b", command, 1_000 + seq, data)


def plan(*chain: tuple[str, Mapping[str, Any]], budget_ms: float = 5_000.0) -> Plan:
    """With a budget that no honest event misses, however busy the machine is."""
    specs = tuple(HookSpec(name=name, config=dict(config)) for name, config in chain or (("obey", {}),))
    return Plan("acme", specs, budget_ms, 256 * _MIB, _EVENT_BYTES)


def hosted(plan: Plan, *, window: Window | None = None, breaker: Breaker | None = None, **secrets: bytes) -> Host:
    def secret(name: str) -> bytes:
        assert "/" not in name
        if name not in secrets:
            raise SecretMissing(f"the tenant acme has no secret named {name}")
        return secrets[name]

    return Host(plan, secret, window=window, breaker=breaker)


@asynccontextmanager
async def serving(host: Host) -> AsyncIterator[Host]:
    task = asyncio.create_task(host.serve(), name="hooks")
    try:
        yield host
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5.0)
        assert task.cancelled()


async def outcomes(host: Host, *commands: str) -> list[Outcome]:
    async with asyncio.timeout(30.0):
        return await host.run([event(seq, command) for seq, command in enumerate(commands)], urgent=True)


def proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def ended(pid: int) -> bool:
    """Gone, or waiting for init to take notice."""
    try:
        return b") Z " in proc(pid, "stat")
    except FileNotFoundError:
        return True


def upper(seq: int, command: str = "") -> Event:
    return event(seq, command, b"SOME DATA")


def with_uvloop(coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Run it beside this loop, in the one that an edge has."""

    def run() -> T:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)

    return asyncio.to_thread(run)


# -- what works --------------------------------------------------------------------------------------------------------


async def test_events_come_back_in_order_as_the_hooks_made_them() -> None:
    async with serving(hosted(plan())) as host:
        assert await outcomes(host, *[""] * 100) == [upper(seq) for seq in range(100)]
        assert host.starts == 1
        assert not host.counts


async def test_the_same_with_uvloop() -> None:
    async def both() -> tuple[list[Outcome], Host]:
        async with serving(hosted(plan(budget_ms=500.0))) as host:
            return await outcomes(host, "", "die", "sleep", ""), host

    found, host = await with_uvloop(both())
    assert [found[0], found[3]] == [upper(0), upper(3)]
    assert host.counts == {Cause.DIED: 1, Cause.LATE: 1}


async def test_data_goes_there_and_back_byte_by_byte() -> None:
    data = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)])).encode() + b"\n" * 100_000
    async with serving(hosted(plan())) as host:
        (found,) = await host.run([event(1, data=data)], urgent=True)
    assert isinstance(found, Event)
    assert found.data == data.upper()


async def test_a_chain_runs_in_order_and_has_the_secrets_it_is_given() -> None:
    made = plan(("secret", {"secret": "one"}), ("obey", {}), ("secret", {"secret": "two"}))
    async with serving(hosted(made, one=b"-first", two=b"-second")) as host:
        (found,) = await outcomes(host, "")
        assert found == event(0, data=b"SOME DATA-FIRST-second")


async def test_a_dropped_event_is_dropped() -> None:
    async with serving(hosted(plan())) as host:
        assert await outcomes(host, "drop", "") == [Dropped(), upper(1)]
        assert host.counts == {Cause.DROPPED: 1}


async def test_what_a_hook_prints_disturbs_nothing_and_is_logged_in_part(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(hosted(plan())) as host:
        assert await outcomes(host, "print", "") == [upper(0, "print"), upper(1)]
        assert host.starts == 1
    said = "".join(record.getMessage() for record in caplog.records)
    assert "the hooks of tenant acme say: loud loud" in said
    assert len(said) < 20_000


async def test_a_child_has_limits_and_nothing_of_the_edges_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_NATS_PASSWORD", "hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2")
    async with serving(hosted(plan(("obey", {}), ("secret", {"secret": "mine"})), mine=b"-xyzzy")) as host:
        (found,) = await outcomes(host, "look")
        assert host.pid is not None
        environ, command = proc(host.pid, "environ"), proc(host.pid, "cmdline")
    assert isinstance(found, Event)
    text = found.data.decode()
    assert text.startswith(f"[({256 * _MIB}, {256 * _MIB}), (0, 0), (256, 256), ")
    assert "SLIPSTREAM" not in text
    assert "OTEL" not in text
    assert b"hunter2" not in environ + command
    assert b"xyzzy" not in environ + command


# -- what does not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["raise", "nonsense", "not-bytes", "allocate"])
async def test_a_hook_that_raises_or_answers_nonsense_costs_its_event_and_no_child(
    command: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(hosted(plan())) as host:
        first, bad, last = await outcomes(host, "", command, "")
        assert (first, last) == (upper(0), upper(2))
        assert isinstance(bad, Withheld)
        assert host.counts == {Cause.RAISED: 1}
        assert host.starts == 1
    assert "some data" not in bad.reason + caplog.text


@pytest.mark.parametrize("command", ["sleep", "spin"])
async def test_a_hook_that_takes_too_long_is_cut_off(command: str) -> None:
    async with serving(hosted(plan(budget_ms=500.0))) as host:
        first, bad, last = await outcomes(host, "", command, "")
        assert (first, last) == (upper(0), upper(2))
        assert bad == Withheld("the hook chain took longer than 500 ms")
        assert host.counts == {Cause.LATE: 1}
        assert host.starts == 2


async def test_a_pause_of_the_whole_machine_is_not_the_hooks_fault() -> None:
    """A container that has used up its share of the CPU stands still, edge and child, for longer than the budget."""
    async with serving(hosted(plan(budget_ms=500.0))) as host:
        await outcomes(host, "")
        pid = host.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)

        def pause() -> None:
            time.sleep(1.0)
            os.kill(pid, signal.SIGCONT)

        asyncio.get_running_loop().call_soon(pause)
        assert await outcomes(host, "") == [upper(0)]
        assert host.starts == 1


@pytest.mark.parametrize("command", ["exit", "die"])
async def test_a_hook_that_ends_the_process_costs_its_event(command: str) -> None:
    async with serving(hosted(plan())) as host:
        first, bad, last = await outcomes(host, "", command, "")
        assert (first, last) == (upper(0), upper(2))
        assert bad == Withheld("the hook chain ended in the middle of the event")
        assert host.counts == {Cause.DIED: 1}
        assert host.starts == 2


@pytest.mark.parametrize("command", ["garbage", "flood", "not-utf8", "bad-name"])
async def test_a_child_that_answers_what_is_no_answer_is_not_believed(command: str) -> None:
    async with serving(hosted(plan())) as host:
        first, bad, last = await outcomes(host, "", command, "")
        assert (first, last) == (upper(0), upper(2))
        assert isinstance(bad, Withheld)
        assert sum(host.counts.values()) == 1
        assert host.counts[Cause.GARBAGE] == (command in {"garbage", "flood"}) or host.starts == 1


async def test_what_a_hook_has_started_ends_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with serving(hosted(plan(("obey", {"note": str(note)}), budget_ms=500.0))) as host:
        await outcomes(host, "fork")
        assert host.counts == {Cause.LATE: 1}
    pid = int(note.read_text())
    await until(lambda: ended(pid), "it ends")


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (("refuse", {"level": 11}), "hook refuse: config.level: 11 is no level"),
        (("secret", {"secret": "gone"}), "the tenant acme has no secret named gone"),
        (("secret", {"secret": "../other/key"}), "hook secret: a secret's name has 1 to 64 characters"),
        (("nowhere", {}), "hook nowhere: no package has it; install the one that does"),
        (("lost", {}), "hook lost: its factory raised AttributeError"),
        (("linger", {}), "it ended before its chain was made"),
    ],
)
async def test_a_chain_that_cannot_be_made_withholds_everything_and_says_why(
    link: tuple[str, Mapping[str, Any]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(hosted(plan(link), breaker=Breaker(2, 60.0, 60.0))) as host:
        found = await outcomes(host, "", "", "")
        assert found == [Withheld("the hook chain has failed again and again and is left alone for a while")] * 3
        assert host.counts == {Cause.REFUSED: 3}
        assert host.starts == 2
    assert said in caplog.text


async def test_after_failures_in_a_row_it_is_left_alone_and_tried_again_later() -> None:
    async with serving(hosted(plan(), breaker=Breaker(3, 0.5, 60.0))) as host:
        found = await outcomes(host, *["die"] * 10)
        assert all(isinstance(one, Withheld) for one in found)
        assert host.counts == {Cause.DIED: 3, Cause.REFUSED: 7}
        assert host.starts == 3
        # At once, without a child:
        assert host.refusing
        assert isinstance((await outcomes(host, ""))[0], Withheld)
        assert host.starts == 3
        await until(lambda: not host.refusing, "the pause is over")
        assert await outcomes(host, "") == [upper(0)]
        assert host.starts == 4


async def test_a_success_in_between_is_not_in_a_row() -> None:
    async with serving(hosted(plan(), breaker=Breaker(2, 60.0, 60.0))) as host:
        found = await outcomes(host, "die", "", "die", "", "die", "")
        assert found[1::2] == [upper(1), upper(3), upper(5)]
        assert host.counts == {Cause.DIED: 3}


# -- who goes first, and how it ends -----------------------------------------------------------------------------------


async def test_urgent_events_overtake_what_is_not_under_way_yet() -> None:
    async with serving(hosted(plan(("obey", {"pause": 0.005})), window=Window(4, 2))) as host:
        patient = asyncio.create_task(host.run([event(seq) for seq in range(200)], urgent=False))
        await host.run([event(1)], urgent=True)
        assert not patient.done()
        assert host._work.waiting >= 190
        assert await patient == [upper(seq) for seq in range(200)]


async def test_whoever_gives_up_leaves_nothing_behind() -> None:
    async with serving(hosted(plan(("obey", {"pause": 0.01})))) as host:
        await outcomes(host, "")
        task = asyncio.create_task(host.run([event(seq) for seq in range(1_000)], urgent=True))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        assert not host._work.waiting
        assert await outcomes(host, "", "") == [upper(0), upper(1)]


async def test_its_end_kills_the_child_in_the_middle_of_an_event_and_tells_who_waits() -> None:
    host = hosted(plan())
    async with serving(host):
        await outcomes(host, "")
        pid = host.pid
        assert pid is not None
        waiting = asyncio.create_task(host.run([event(1, "spin"), event(2)], urgent=True))
        await asyncio.sleep(0.05)
    assert ended(pid)
    with pytest.raises(SlipstreamError, match="is being stopped"):
        await waiting


async def test_a_child_without_its_edge_ends_by_itself() -> None:
    """What the kernel does to the pipes of an edge that was killed."""
    host = hosted(plan())
    async with serving(host):
        await outcomes(host, "")
        child = host._child
        assert child is not None
        assert isinstance(child._requests.transport, asyncio.WriteTransport)
        child._requests.transport.close()
        async with asyncio.timeout(5.0):
            await child.gone.wait()


async def test_an_idle_child_that_dies_costs_nothing() -> None:
    async with serving(hosted(plan())) as host:
        await outcomes(host, "")
        assert host._child is not None
        host._child.kill()
        assert await outcomes(host, "") == [upper(0)] or host.counts == {Cause.DIED: 1}
