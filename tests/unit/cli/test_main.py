"""The command as a whole: what it offers, how fast it says so, how it refuses."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from slipstream import __version__
from slipstream.cli.main import app

run = CliRunner()

COMMANDS = (
    ("dev",),
    ("tail",),
    ("publish",),
    ("token",),
    ("token", "revoke"),
    ("token", "revoked"),
    ("edge",),
    ("check-config",),
    ("tenant", "apply"),
    ("tenant", "get"),
    ("tenant", "list"),
    ("tenant", "delete"),
    ("tenant", "nats-permissions"),
)

# What takes long to import; each was seen in some command's own work.
HEAVY = ("aiohttp", "nats", "pydantic", "pydantic_settings", "rich", "uvloop", "yaml", "orjson", "slipstream.app")


def test_help_shows_every_command_and_the_exit_statuses() -> None:
    shown = run.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert {name for name, *_ in COMMANDS} <= set(shown.output.split())
    assert "Exit status: 0 done" in " ".join(shown.output.split())
    assert "..." not in shown.output.partition("Commands:")[2], "a summary that is cut off helps nobody"


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_every_command_has_help_with_whole_sentences(command: tuple[str, ...]) -> None:
    shown = run.invoke(app, [*command, "-h"])
    assert shown.exit_code == 0, shown.output
    assert "Usage:" in shown.output
    assert "noqa" not in shown.output


def test_no_command_gives_help_and_a_usage_status() -> None:
    shown = run.invoke(app, [])
    assert "Commands:" in shown.output
    assert shown.exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from slipstream.cli.main import app; app(['--help'], standalone_mode=False);"
        f"print('HEAVY', [one for one in {HEAVY!r} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout


def test_version() -> None:
    shown = run.invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"slipstream {__version__}\n")


def test_a_setting_that_is_wrong_ends_every_command_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_PORT", "eighty")
    monkeypatch.setenv("SLIPSTREAM_NATS_URLS", "nats://localhost")
    for command in (["edge"], ["check-config"], ["tenant", "list"], ["publish", "a", "b", "--tenant", "acme"]):
        shown = run.invoke(app, command)
        assert shown.exit_code == 2, command
        assert shown.stdout == ""
        assert "2 settings are wrong" in shown.stderr
        assert "SLIPSTREAM_PORT='eighty'" in shown.stderr
        assert "did you mean SLIPSTREAM_NATS_URL?" in shown.stderr


def test_nats_that_is_away_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.cli.session.CONNECT_SECONDS", 0.3)
    monkeypatch.setenv("SLIPSTREAM_NATS_URL", "nats://127.0.0.1:1")
    shown = run.invoke(app, ["tenant", "list"])
    assert shown.exit_code == 1
    assert shown.stderr.count("\n") == 1
    assert shown.stderr.startswith("slipstream: gave up after 0.3 s: NATS does not answer at nats://127.0.0.1:1")
    assert "SLIPSTREAM_NATS_URL" in shown.stderr
