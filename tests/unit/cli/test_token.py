"""`slipstream token`: what it mints, an edge would take."""

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from slipstream.auth.claims import Token, read_claims
from slipstream.auth.keyring import Keyring
from slipstream.auth.verify import Verifier, peek
from slipstream.cli.main import app
from slipstream.protocol.topic import Filter
from slipstream.settings.secrets import SecretFiles
from slipstream.tenants.issuer import Issuer
from tests.tokens import ec_key, ed_key, pem, rsa_key

KEYS = {"rsa": rsa_key(), "ec": ec_key(), "ed": ed_key()}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments])


@pytest.fixture(params=KEYS)
def key(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / f"{request.param}.pem"
    path.write_bytes(pem(KEYS[request.param].material))
    return str(path)


async def taken(text: str, issuer: Issuer, secrets: Path | None = None) -> Token:
    async def no_fetch(url: str) -> bytes:
        raise AssertionError(url)

    keyring = Keyring(no_fetch, SecretFiles(secrets).get, time.monotonic)
    return await Verifier(keyring, lambda _: {issuer.issuer: issuer}).verify(text, time.time())


async def test_with_a_key_and_its_public_half_at_the_edge(key: str) -> None:
    keys = json.loads(run("--jwks", "--key", key).output)
    issuer = Issuer.model_validate({"issuer": "slipstream-dev", "keys": keys})
    done = run(
        "--tenant", "acme", "--subject", "ada", "--scope", "subscribe", "--scope", "pii:read", "--topic", "orders.>",
        "--for", "15m", "--key", key,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = await taken(done.stdout.strip(), issuer)
    assert (found.tenant, found.subject, found.scopes) == ("acme", "ada", frozenset({"subscribe", "pii:read"}))
    assert found.subscribe == found.publish == (Filter("orders.>"),)
    assert 890 < found.expires_at - time.time() <= 900
    plain = await taken(run("-t", "acme", "--key", key).stdout.strip(), issuer)
    assert plain.scopes == frozenset({"subscribe", "publish"})
    assert plain.subscribe == (Filter(">"),)
    assert plain.id != found.id


async def test_with_a_secret_of_the_tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "acme" / "dev"
    secret.parent.mkdir()
    secret.write_bytes(b"0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("SLIPSTREAM_SECRETS", str(tmp_path))
    done = run("-t", "acme", "--secret", "dev", "--issuer", "me", "--audience", "us")
    issuer = Issuer(issuer="me", secret="dev", audience="us")
    assert (await taken(done.stdout.strip(), issuer, tmp_path)).subject == "dev"
    secret.write_bytes(b"short")
    assert "32 random ones" in run("-t", "acme", "--secret", "dev").output
    assert "there is no secret" not in run("-t", "other", "--secret", "dev").stdout
    assert run("-t", "other", "--secret", "dev").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["-t", "acme"], "--key FILE or --secret NAME"),
        (["-t", "acme", "--key", "KEY", "--secret", "dev"], "either"),
        (["--key", "KEY"], "--tenant NAME"),
        (["-t", "Acme", "--key", "KEY"], "tenant's name"),
        (["-t", "acme", "--topic", "a..b", "--key", "KEY"], "topic"),
        (["-t", "acme", "--for", "1x", "--key", "KEY"], "90m"),
        (["-t", "acme", "--for", "0", "--key", "KEY"], "ended"),
        (["-t", "acme", "--key", "/nowhere.pem"], "No such file"),
        (["-t", "acme", "--key", "WRONG"], "PEM"),
        (["-t", "acme", "--key", "CURVE"], "another kind"),
        (["--jwks", "--secret", "dev"], "public half"),
    ],
    ids=str,
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: list[str], advice: str) -> None:
    (tmp_path / "KEY").write_bytes(pem(ec_key().material))
    (tmp_path / "WRONG").write_bytes(b"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n")
    (tmp_path / "CURVE").write_bytes(pem(ec.generate_private_key(ec.SECP256K1())))
    done = run(*(str(tmp_path / one) if one.isupper() else one for one in arguments))
    assert done.exit_code == 2
    assert advice in done.output
    assert "QUJD" not in done.output


def test_a_life_beyond_the_issuers_is_refused_by_the_edge_not_by_the_mint(key: str) -> None:
    claimed = peek(run("-t", "acme", "--for", "48h", "--key", key).stdout.strip())
    issuer = Issuer(issuer="slipstream-dev", secret="x")
    with pytest.raises(Exception, match="86400 s"):
        read_claims(claimed.claims, issuer, time.time())
