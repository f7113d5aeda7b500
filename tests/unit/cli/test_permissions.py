"""What `slipstream tenant nats-permissions` prints, and what it refuses; a nats-server reads it in tests/contract."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.cli.tenant.users import User, as_json
from slipstream.jetstream.permissions import controller, edge, producer

run = CliRunner()

HASH = "$2a$11$" + "x" * 53
CONF = f"""\
# For the block `accounts` of nats-server's configuration.
# Clients of this account connect with the inbox prefix _INBOX_acme
"TENANT_acme": {{
  imports: [{{"service": {{"account": "SLIPSTREAM", "subject": "sse.acme.>"}}}}]
  users: [
    {{
      user: "shop"
      password: "{HASH}"
      permissions: {{
        publish: {{
          allow: [
            "sse.acme.>"
          ]
        }}
        subscribe: {{
          allow: [
            "_INBOX_acme.>"
          ]
        }}
      }}
    }}
  ]
}}
"""


def printed(*arguments: str) -> str:
    shown = run.invoke(app, ["tenant", "nats-permissions", *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def test_a_producers_block() -> None:
    assert printed("acme", "--user", "shop", "--password-hash", HASH) == CONF


def test_without_a_hash_there_is_a_variable_and_no_password() -> None:
    text = printed("acme-1", "--edge", "--controller")
    passwords = [line.strip() for line in text.splitlines() if line.strip().startswith("password:")]
    assert passwords == [
        "password: $NATS_HASH_EDGE",
        "password: $NATS_HASH_CONTROLLER",
        "password: $NATS_HASH_ACME_1_PRODUCER",
    ]
    assert text.count("# FILL IN") == 3
    assert text.count('jetstream: "enabled"') == text.count('"SLIPSTREAM": {') == 1, "both in one account"


def test_json_says_the_same() -> None:
    accounts = json.loads(printed("acme", "--edge", "--controller", "--format", "json"))["accounts"]
    assert list(accounts) == ["SLIPSTREAM", "TENANT_acme"]
    assert (accounts["SLIPSTREAM"]["jetstream"], accounts["SLIPSTREAM"]["exports"]) == (
        "enabled",
        [{"service": "sse.>"}],
    )
    one, two = accounts["SLIPSTREAM"]["users"]
    assert one["permissions"] == {
        "publish": {"allow": list(edge().publish)},
        "subscribe": {"allow": list(edge().subscribe)},
    }
    assert two["permissions"]["publish"]["deny"] == list(controller().deny_publish)
    (user,) = accounts["TENANT_acme"]["users"]
    assert (user["user"], user["password_variable"]) == ("acme-producer", "NATS_HASH_ACME_PRODUCER")
    assert "password" not in user
    known = json.loads(as_json([User("shop", producer("acme"), "acme", HASH)]))["accounts"]["TENANT_acme"]["users"]
    assert (known[0]["password"], "password_variable" in known[0]) == (HASH, False)


def test_nsc_has_every_subject_and_no_variable_that_the_shell_would_fill() -> None:
    lines = printed("acme", "--edge", "--controller", "--format", "nsc").splitlines()
    adding = [shlex.split(line) for line in lines if line.startswith("nsc add user ")]
    added = {words[words.index("--name") + 1]: words for words in adding}
    for name, permissions in (("edge", edge()), ("controller", controller()), ("acme-producer", producer("acme"))):
        options = dict(zip(added[name][3::2], added[name][4::2], strict=True))
        assert options["--allow-pub"].split(",") == list(permissions.publish)
        assert options["--allow-sub"].split(",") == list(permissions.subscribe)
        assert options.get("--deny-pub", "").split(",") == list(permissions.deny_publish or [""])
    assert added["edge"][4] == added["controller"][4] == "SLIPSTREAM"
    assert added["acme-producer"][4] == "TENANT_acme"
    (source,) = (line for line in lines if "add import" in line)
    assert source.endswith("--remote-subject 'sse.acme.>'")
    outside = "".join(part for line in lines for part in line.split("'")[::2])
    assert outside.count("$") == 1, "the account's key alone is filled in"
    assert lines[-1] == "nsc push --all"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "whose permissions?"),
        (["Acme"], "is not a tenant's name"),
        (["acme.>"], "is not a tenant's name"),
        (["acme", "--edge", "--user", "x"], "one at a time"),
        (["--edge", "--controller", "--password-hash", HASH], "one at a time"),
        (["acme", "--password-hash", "hunter2"], "no bcrypt hash"),
        (["acme", "--password-hash", HASH[:-1]], "no bcrypt hash"),
        (["acme", "--password-hash", HASH + '"'], "no bcrypt hash"),
        (["acme", "--user", 'x" }'], "--user"),
        (["acme", "--user", ""], "--user"),
        (["acme", "--format", "nsc", "--password-hash", HASH], "keys, not passwords"),
    ],
)
def test_what_cannot_be_is_refused_without_a_word_on_stdout(arguments: list[str], told: str) -> None:
    shown = run.invoke(app, ["tenant", "nats-permissions", *arguments])
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert told in shown.stderr
    assert "hunter2" not in shown.stderr
