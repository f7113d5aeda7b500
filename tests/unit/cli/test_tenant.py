"""The parts of `slipstream tenant` that need no NATS."""

from pathlib import Path

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.cli.tenant.get import Format, document, render
from slipstream.cli.tenant.list import columns, row
from slipstream.tenants import Tenant, TenantSpec, parse_tenants

run = CliRunner()

STREAM = {
    "name": "SSE_acme",
    "epoch": "k3v9x2ab",
    "first_seq": 1,
    "last_seq": 42,
    "last_time": None,
    "events": 42,
    "bytes": 10_000,
}


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("stream", [STREAM, None])
def test_what_get_prints_can_be_applied_again(form: Format, stream: dict[str, object] | None) -> None:
    tenant = Tenant.of("acme", TenantSpec(event_bytes=1_000))
    text = render(document(tenant, stream), form)
    assert parse_tenants(text) == [tenant]
    read = orjson.loads(text) if form is Format.json else yaml.safe_load(text)
    assert read["status"] == {"stream": stream}
    assert text.endswith("\n")


def test_columns_are_aligned_and_complete() -> None:
    assert columns([("NAME", "LAST"), row("acme-very-long", STREAM)[:2], row("x", None)[:2]]) == [
        "NAME             LAST",
        "acme-very-long   k3v9x2ab",
        "x                -",
    ]
    assert row("acme", STREAM) == ("acme", "k3v9x2ab", "1", "42", "42", "10000", "-")
    assert len(row("acme", None)) == len(row("acme", STREAM))


def test_all_faults_of_all_documents_are_told_before_nats_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yaml"
    path.write_text(
        "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: ok}\n---\n"
        "apiVersion: slipstream.dev/v1alpha1\nkind: Tenant\nmetadata: {name: UP}\nspec: {replica: 1}\n---\n"
        "apiVersion: v1\nkind: Tenant\nmetadata: {name: other}\n"
    )
    shown = run.invoke(app, ["tenant", "apply", "-f", str(path)], env={"SLIPSTREAM_NATS_URL": "nats://127.0.0.1:1"})
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert "tenants.yaml is not applied" in shown.stderr
    assert "document 2 ('UP'): metadata.name" in shown.stderr
    assert "did you mean replicas?" in shown.stderr
    assert "document 3 ('other'): apiVersion" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tenant", "apply", "-f", "/nowhere/at-all.yaml"], "No such file"),
        (["tenant", "apply", "-f", "-"], "no document in it"),
        (["tenant", "delete", "acme"], "add --yes"),
        (["publish", "a"], "--tenant NAME"),
        (["publish", "--tenant", "acme"], "TOPIC"),
        (["publish", "a", "--tenant", "acme", "--file", "-"], "leave TOPIC"),
        (["publish", "--tenant", "acme", "--file", "/nowhere"], "No such file"),
        (["publish", "--tenant", "acme", "--file", "/"], "Is a directory"),
        (["tail", "ftp://x"], "http:// or https://"),
        (["tail", "http://127.0.0.1:1", "--raw", "--json"], "choose one"),
        (["tail", "http://127.0.0.1:1", "--from", "seven"], "--from is now, earliest, last"),
        (["tail", "http://127.0.0.1:1", "--match", "mag>4"], "--match is a JSON pointer"),
        (["tail", "http://127.0.0.1:1", "--save", "/"], "Is a directory"),
        (["tail", "http://127.0.0.1:1", "--save", "/dev/null"], "no regular file"),
        (["tail", "http://127.0.0.1:1", "--save", "/x/y", "--bookmark", "/x/y"], "give each its own"),
        (["tail", "http://127.0.0.1:1", "--bookmark", "/"], "Is a directory"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_status_2(arguments: list[str], says: str) -> None:
    shown = run.invoke(app, arguments, env={"SLIPSTREAM_NATS_URL": "nats://127.0.0.1:1"})
    assert shown.exit_code == 2, shown.output
    assert shown.stdout == ""
    assert says in shown.stderr
    assert "Traceback" not in shown.output
