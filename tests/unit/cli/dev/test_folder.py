"""One cluster a folder, even after a crash."""

import os
import subprocess
from pathlib import Path

import pytest

from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.folder import Folder


def test_is_made_and_hidden_from_git(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "deep" / "data")
    folder.open()
    assert folder.logs.is_dir()
    assert (folder.path / ".gitignore").read_text() == "*\n"
    folder.close()


def test_a_second_cluster_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first = Folder(tmp_path)
    first.open()
    with pytest.raises(DevError, match=rf"another `slipstream dev`.*\(pid {os.getpid()}\)"):
        Folder(tmp_path).open()
    first.close()
    again = Folder(tmp_path)
    again.open()
    again.close()


def test_servers_that_a_killed_run_left_keep_it_and_are_named(tmp_path: Path) -> None:
    killed = Folder(tmp_path)
    killed.open()
    with subprocess.Popen(["sleep", "30"], pass_fds=(killed.lock,)) as left:
        try:
            killed.note("slipstream dev", 2**22 + 1)  # Above the highest pid there can be: this run is dead.
            killed.note("nats-server", left.pid)
            killed.close()
            with pytest.raises(DevError, match=rf"left its servers.*kill {left.pid};.*nats-server"):
                Folder(tmp_path).open()
        finally:
            left.kill()
    again = Folder(tmp_path)
    again.open()
    again.close()


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DevError, match="give --data another folder"):
        Folder(tmp_path / "data").open()
