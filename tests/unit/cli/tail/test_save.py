"""Whole lines in a file that is one process's alone."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipstream.cli.tail.save import Save


def row(seq: int) -> str:
    return json.dumps({"id": f"k3v9x2ab-{seq}", "event": "e", "data": "東京"}, ensure_ascii=False)


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "events"
    for seqs in ((1, 2), (3,)):
        with Save(path) as save:
            assert not save.torn
            for seq in seqs:
                save.append(row(seq))
    assert path.read_text() == f"{row(1)}\n{row(2)}\n{row(3)}\n"


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("", None),
        (f"{row(1)}\n{row(2)}\n", "k3v9x2ab-2"),
        ("notes of mine\n", None),
        ('["id"]\n', None),
        ('{"id":7}\n', None),
        ('{"id":"seven"}\n', None),
        (f"{row(1)}\nnotes of mine, broken off", None),
        (f"{row(1)}\n{row(2)}", "k3v9x2ab-2"),
        ('{"id": "mine"}', None),
        ("[", None),
    ],
)
def test_the_last_whole_line_tells_its_id(tmp_path: Path, text: str, last: str | None) -> None:
    path = tmp_path / "events"
    path.write_text(text)
    with Save(path) as save:
        assert (save.last_id, save.torn) == (last, False)
        save.append(row(9))
        save.append(row(10))
    end = "" if not text or text.endswith("\n") else "\n"
    assert path.read_text() == f"{text}{end}{row(9)}\n{row(10)}\n"


@pytest.mark.parametrize("before", ["", f"{row(1)}\n", f"notes of mine\n{row(1)}\n"])
def test_a_line_that_was_broken_off_is_cut_away(tmp_path: Path, before: str) -> None:
    """Wherever a SIGKILL hit: its event is after `last_id`, and comes again."""
    path = tmp_path / "events"
    line = row(2).encode()
    for length in range(1, len(line)):
        path.write_bytes(before.encode() + line[:length])
        with Save(path) as save:
            assert (save.torn, save.last_id) == (True, "k3v9x2ab-1" if before else None)
            save.append(row(2))
        assert path.read_text() == f"{before}{row(2)}\n"


def test_no_two_processes_save_to_one_file(tmp_path: Path) -> None:
    with Save(tmp_path / "events"), pytest.raises(BlockingIOError):
        Save(tmp_path / "events")
    with Save(tmp_path / "events"):
        pass


def test_a_device_is_refused_and_nothing_stays_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="no regular file"):
        Save(Path("/dev/null"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """The kernel takes no more than this of a file, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_of_a_line_that_does_not_fit_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Save(path) as save:
        save.append(row(1))
        with file_limit(len(row(1).encode()) + 10), pytest.raises(OSError, match="File too large"):
            save.append(row(2))
        assert path.read_text() == f"{row(1)}\n"
        save.append(row(3))
    assert path.read_text() == f"{row(1)}\n{row(3)}\n"
