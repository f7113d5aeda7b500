"""The last id in a file: whole, after its event, and never another's text."""

from pathlib import Path

import pytest

from slipstream.cli.tail.bookmark import Bookmark
from slipstream.protocol.errors import SlipstreamError


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert Bookmark(tmp_path / "last").load() is None


def test_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "last"
    Bookmark(path).flush("k3v9x2ab-1042-3f.order-7")
    assert Bookmark(path).load() == "k3v9x2ab-1042-3f.order-7"
    assert [one.name for one in tmp_path.iterdir()] == ["last"]


def test_is_written_at_most_five_times_a_second_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "last"
    bookmark = Bookmark(path)
    seen = []
    for number in range(100):
        bookmark.save(f"k3v9x2ab-{number}", now=1_000 + number / 100)
        seen.append(path.read_text())
    assert len(set(seen)) == 5
    bookmark.flush("k3v9x2ab-99")
    assert path.read_text() == "k3v9x2ab-99\n"


def test_what_it_stands_for_is_made_safe_before(tmp_path: Path) -> None:
    path = tmp_path / "last"
    seen: list[bool] = []
    bookmark = Bookmark(path, lambda: seen.append(path.exists()))
    bookmark.flush("k3v9x2ab-1")
    bookmark.flush("k3v9x2ab-1")
    assert seen == [False]
    bookmark.flush("k3v9x2ab-2")
    assert seen == [False, True]


def test_no_id_is_not_kept(tmp_path: Path) -> None:
    Bookmark(tmp_path / "last").flush("")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [b"", b"not an id\n", b"\xff\xfe", b"k3v9x2ab-1\nk3v9x2ab-2\n"])
def test_another_text_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "last"
    path.write_bytes(text)
    with pytest.raises(SlipstreamError, match="is not an event id"):
        Bookmark(path).load()


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bookmark(tmp_path / "none" / "last").flush("k3v9x2ab-1")
