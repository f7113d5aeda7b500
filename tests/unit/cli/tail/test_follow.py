"""A tail against a real server with a script: printed, saved, remembered, in that order."""

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.cli.tail.bookmark import Bookmark
from slipstream.cli.tail.follow import Ended, Job, Tail, Unwritable
from slipstream.cli.tail.match import Condition, Wanted
from slipstream.cli.tail.save import Save
from slipstream.cli.tail.show import Form
from slipstream.client import RetryState, Stream, Terms
from tests.unit.client.server import Server, frames, serve

EPOCH = "k3v9x2ab"
READY = f'retry: 1\n\nid: {EPOCH}-1\nevent: stream.ready\ndata: {{"heartbeat_ms":15000}}\n\n'
GAP = {"reason": "limited", "code": "SSE_REPLAY_LIMITED", "certain": True, "requested": None, "from": f"{EPOCH}-3"}


def frame(seq: int, data: Any, event: str = "quake") -> str:
    return f"id: {EPOCH}-{seq}\nevent: {event}\ndata: {json.dumps(data)}\n\n"


SCRIPT = (
    READY,
    frame(2, {"mag": 1}),
    frame(3, GAP, "stream.gap"),
    frame(4, {"mag": 5}),
    frame(5, {"mag": 6}, "other"),
    frame(6, {"mag": 7}),
    frame(9, {}, "stream.checkpoint"),
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve(frames(*SCRIPT, hold=True)) as one:
        yield one


async def follow(server: Server, job: Job) -> Tail:
    stream = Stream(server.url, control=True, retry=RetryState(Terms(base_ms=1, max_jitter_ms=1), retry_ms=1))
    tail = Tail(stream, job)
    try:
        assert await tail.run() is (Ended.TIME if job.most is None else Ended.COUNT)
    finally:
        tail.remember()
    return tail


async def test_what_is_wanted_is_printed_and_everything_moves_the_place(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Wanted(["quake"], [Condition.parse("/mag>=5")])
    tail = await follow(server, Job(Form.raw, wanted, seconds=0.3))
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ['{"mag": 5}', '{"mag": 7}']
    assert shown.err.startswith("!!! GAP (limited, SSE_REPLAY_LIMITED): events ARE missing after this place;")
    assert (tail.shown, tail.place) == (2, f"{EPOCH}-9")


async def test_a_loss_is_in_the_record_too(server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Save(tmp_path / "events") as save:
        await follow(server, Job(Form.json, topic="a.b", save=save, most=3))
    printed, saved = capsys.readouterr().out, (tmp_path / "events").read_text()
    assert printed == saved
    lines = [json.loads(line) for line in saved.splitlines()]
    assert [line["event"] for line in lines] == ["quake", "stream.gap", "quake", "other"]
    assert [line.get("topic") for line in lines] == ["a.b", None, "a.b", "a.b"]
    assert json.loads(lines[1]["data"]) == GAP


async def test_an_envelope_is_opened_for_people_and_for_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    cloud = {"specversion": "1.0", "subject": "quakes.jp", "time": "2026-11-24T12:00:00Z", "data": {"mag": 5}}
    for form in Form:
        async with serve(frames(READY, frame(2, cloud), hold=True)) as server:
            job = Job(form, Wanted((), [Condition.parse("/mag=5")]), envelope=True, most=1)
            await follow(server, job)
    raw_text, raw, document = capsys.readouterr().out.splitlines()
    assert raw_text.endswith(f'  {EPOCH}-2  quakes.jp  quake  {{"mag":5}}')
    assert json.loads(raw) == cloud
    found = json.loads(document)
    assert (found["topic"], found["time"]) == ("quakes.jp", "2026-11-24T12:00:00Z")


class Broken(io.StringIO):
    """An output whose reader leaves after so many lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._left = lines

    def flush(self) -> None:
        if not self._left:
            raise BrokenPipeError
        self._left -= 1


@pytest.mark.parametrize(("lines", "place"), [(0, f"{EPOCH}-1"), (1, f"{EPOCH}-3"), (3, f"{EPOCH}-5")])
async def test_the_bookmark_is_never_ahead_of_what_was_printed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int, place: str
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(lines))
    path = tmp_path / "place"
    with pytest.raises(BrokenPipeError):
        await follow(server, Job(Form.raw, bookmark=Bookmark(path), most=4))
    assert path.read_text().strip() == place


async def test_the_bookmark_is_never_ahead_of_what_was_saved(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "place"
    with Save(tmp_path / "events") as save:

        class Full:
            """A disk that is full after one line."""

            left = 1

            def append(self, line: str) -> None:
                if not self.left:
                    raise OSError(28, "No space left on device")
                self.left -= 1
                save.append(line)

        job = Job(Form.raw, save=Full(), bookmark=Bookmark(path), most=4)  # type: ignore[arg-type]
        with pytest.raises(Unwritable, match=r"--save cannot be written .* free some space"):
            await follow(server, job)
    assert path.read_text().strip() == f"{EPOCH}-2"
    assert len((tmp_path / "events").read_text().splitlines()) == 1
