"""A process that fails is told with its own last words, and at once."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from loadtest.child import ChildFailed, child
from loadtest.machine import available_cores
from loadtest.readers import Plan
from loadtest.roamer import Plan as RoamingPlan
from loadtest.tally import Received, reader_report
from loadtest.worker import Worker, reader_process, roaming_process

CORES = available_cores().others


async def test_readers_report_when_they_are_asked(tmp_path: Path) -> None:
    plan = Plan("127.0.0.1", 9, "/", 0)
    async with reader_process(plan, name="readers", folder=tmp_path, cores=CORES) as worker:
        await worker.until(lambda _: True, 20, "start")
        asked = await worker.report()
        again = await worker.report()
    assert (asked.asked, asked.live, asked.opening) == (True, 0, 0)
    assert again.at_ns > asked.at_ns


async def test_readers_that_cannot_start_are_told_with_their_traceback(tmp_path: Path) -> None:
    plan = Plan("127.0.0.1", 9, "/", 0, marker="")
    async with reader_process(plan, name="readers", folder=tmp_path, cores=CORES) as worker:
        with pytest.raises(ChildFailed, match=r"ended too early(.|\n)*a marker is within one line"):
            await worker.until(lambda _: True, 20, "start")


async def test_a_report_that_does_not_come_is_told_with_the_last_one(tmp_path: Path) -> None:
    plan = Plan("127.0.0.1", 9, "/", 0)
    async with reader_process(plan, name="readers", folder=tmp_path, cores=CORES) as worker:
        await worker.until(lambda _: True, 20, "start")
        with pytest.raises(ChildFailed, match=r"did not fly within 0.1 s; its last report: ReaderReport"):
            await worker.until(lambda _: False, 0.1, "fly")


async def test_two_who_ask_at_once_get_their_own_answers(tmp_path: Path) -> None:
    plan = RoamingPlan("127.0.0.1", [9], [0, 1, 2], ["/"] * 3, 1.0)
    async with roaming_process(plan, name="clients", folder=tmp_path, cores=CORES) as worker:
        await worker.until(lambda _: True, 20, "start")
        answers = await asyncio.gather(*(worker.report(word) for word in ["report", "account"] * 10))
    assert [answer.counts for answer in answers] == [[], [0, 0, 0]] * 10


async def test_a_child_is_gone_when_its_block_ends_and_runs_on_the_given_cores(tmp_path: Path) -> None:
    code = "import os, time; print(sorted(os.sched_getaffinity(0)), flush=True); time.sleep(60)"

    async def spoke() -> bool:
        return running.log.stat().st_size > 0

    async with child("sleeper", [sys.executable, "-c", code], folder=tmp_path, cores=CORES) as running:
        await running.serving(spoke, 20)
    assert running.process.returncode is not None
    assert running.log.read_text() == f"{sorted(CORES)}\n"


async def test_a_child_that_ends_before_it_serves_is_told_with_its_output(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    argv = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    async with child("broken", argv, folder=tmp_path, cores=CORES) as running:
        with pytest.raises(ChildFailed, match=r"broken ended with status 1 before it served(.|\n)*no such thing"):
            await running.serving(never, 20)


async def test_an_answer_is_not_taken_for_the_report_that_came_right_behind_it(tmp_path: Path) -> None:
    line = {"at_ns": 1, "live": 0, "opening": 0, "received": asdict(Received())} | {"asked": True}
    later = line | {"asked": False, "live": 9}
    out = "".join(json.dumps(each, default=lambda _: {}) + "\n" for each in (line, later))
    code = f"import sys\nfor _ in sys.stdin: print({out!r}, end='', flush=True)"
    async with child("both", [sys.executable, "-c", code], folder=tmp_path, cores=CORES, pipes=True) as process:
        worker = Worker(process, reader_report)
        reading = asyncio.create_task(worker.read(), name="reports")
        answers = [await worker.report() for _ in range(5)]
        await process.stop()
        await reading
    assert [answer.live for answer in answers] == [0] * 5
