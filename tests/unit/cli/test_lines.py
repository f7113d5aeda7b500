"""Lines of files and of pipes, the same from both."""

import asyncio
import os
from pathlib import Path

import pytest

from slipstream.cli.publish.lines import open_source, read_lines, size_of

TEXT = b"one\n\n\xe6\x9d\xb1\n" + b"x" * 200_000 + b"\nlast"


async def all_of(file: Path) -> list[bytes]:
    source = await asyncio.to_thread(open_source, str(file))
    return [line async for line in read_lines(source)]


async def test_a_file_and_a_pipe_give_the_same(tmp_path: Path) -> None:
    regular, fifo = tmp_path / "file", tmp_path / "fifo"
    regular.write_bytes(TEXT)
    os.mkfifo(fifo)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(fifo.write_bytes, TEXT))
        assert await all_of(fifo) == await all_of(regular) == TEXT.splitlines(keepends=True)


def test_only_a_regular_file_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    with open_source(str(tmp_path / "file")) as source:
        assert size_of(source) == len(TEXT)
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "rb") as source:
        assert size_of(source) is None


async def test_a_line_of_a_pipe_is_there_before_the_next_one_is_written() -> None:
    read, write = os.pipe()
    lines = read_lines(os.fdopen(read, "rb"))
    os.write(write, b"first\nsec")
    async with asyncio.timeout(10):
        assert await anext(lines) == b"first\n"
        os.write(write, b"ond\n")
        assert await anext(lines) == b"second\n"
        os.close(write)
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_source(str(tmp_path / "none"))
