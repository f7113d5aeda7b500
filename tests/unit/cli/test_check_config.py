"""What an edge would run with, told without its secrets."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipstream.cli.check_config import effective
from slipstream.cli.main import app
from slipstream.settings import Settings, reference

run = CliRunner()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPSTREAM_NATS_URL", raising=False)


def test_prints_every_setting_once_and_ok() -> None:
    shown = run.invoke(app, ["check-config"])
    assert shown.exit_code == 0
    *lines, last = shown.stdout.splitlines()
    assert last == "ok"
    assert [line.split()[0] for line in lines] == [f"SLIPSTREAM_{name.upper()}" for name in Settings.model_fields]


def test_tells_what_was_set_and_hides_the_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    issuers = tmp_path / "issuers.yaml"
    issuers.touch()
    monkeypatch.setenv("SLIPSTREAM_PORT", "9000")
    monkeypatch.setenv("SLIPSTREAM_NATS_USER", "edge")
    monkeypatch.setenv("SLIPSTREAM_NATS_PASSWORD", "correct-horse")
    monkeypatch.setenv("SLIPSTREAM_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")
    monkeypatch.setenv("SLIPSTREAM_ISSUERS", str(issuers))
    shown = run.invoke(app, ["check-config"]).stdout
    assert "correct-horse" not in shown
    found = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert found["SLIPSTREAM_PORT"] == ["9000"]
    assert found["SLIPSTREAM_NATS_PASSWORD"] == ["(secret)"]
    assert found["SLIPSTREAM_TRUSTED_PROXIES"] == ["10.0.0.0/8,fd00::/8"]
    assert found["SLIPSTREAM_ISSUERS"] == [str(issuers)]
    assert found["SLIPSTREAM_HEARTBEAT"] == ["15", "(default)"]
    assert found["SLIPSTREAM_NATS_CREDS"] == ["(default)"]


def test_what_it_prints_is_what_the_environment_would_say() -> None:
    changed = Settings(heartbeat=2.5, auth="none", trusted_proxies=(ip_network("10.0.0.0/8"),), port=0)
    environ = {}
    for line in effective(changed):
        name, *value = re.split(r"\s{2,}", line.removesuffix("(default)").strip())
        environ[name] = "".join(value)
    assert Settings.load(environ) == changed


def test_reference_is_the_generated_one() -> None:
    shown = run.invoke(app, ["check-config", "--reference"])
    assert (shown.exit_code, shown.stdout) == (0, reference())
