"""Ways into NATS that the settings offer: user and password, TLS with a client certificate, a credentials file."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import SigningKey

from slipstream.jetstream.api import Api
from slipstream.jetstream.link import Access, Link
from slipstream.protocol.errors import SlipstreamError
from tests.servers import HOST, NatsServer


async def _enters(access: Access, seconds: float = 3.0) -> bool:
    """Whether NATS lets us in within `seconds`."""
    link = Link(access, "access-test")
    try:
        async with asyncio.timeout(seconds):
            await link.open()
    except TimeoutError:
        return False
    else:
        assert "memory" in await Api(link).call("INFO")
        return True
    finally:
        await link.close()


async def test_user_and_password(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, config='authorization { user: "edge", password: "s3cret" }') as nats:
        assert await _enters(Access((nats.url,), user="edge", password="s3cret"))
        assert not await _enters(Access((nats.url,), user="edge", password="wrong"), 1.2)
        assert not await _enters(Access((nats.url,)), 1.2)


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    ca = _Authority(tmp_path)
    server, client = ca.issue("server"), ca.issue("client")
    config = f'tls {{ cert_file: "{server[0]}", key_file: "{server[1]}", ca_file: "{ca.path}", verify: true }}'
    async with NatsServer(tmp_path, config=config) as nats:
        url = nats.url.replace("nats://", "tls://")
        cert, key = str(client[0]), str(client[1])
        assert await _enters(Access((url,), tls_ca=str(ca.path), tls_cert=cert, tls_key=key))
        assert not await _enters(Access((url,), tls_ca=str(ca.path)), 1.2)  # the server wants ours
        other = _Authority(tmp_path / "other")
        assert not await _enters(Access((url,), tls_ca=str(other.path), tls_cert=cert, tls_key=key), 1.2)


async def test_a_credentials_file(tmp_path: Path) -> None:
    operator, account, user = (
        _Key(nkeys.PREFIX_BYTE_OPERATOR),
        _Key(nkeys.PREFIX_BYTE_ACCOUNT),
        _Key(nkeys.PREFIX_BYTE_USER),
    )
    limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}
    storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    accounts = operator.sign(account.public, {"type": "account", "version": 2, "limits": limits | storage})
    system = _Key(nkeys.PREFIX_BYTE_ACCOUNT)
    systems = operator.sign(system.public, {"type": "account", "version": 2, "limits": limits})
    operators = operator.sign(operator.public, {"type": "operator", "version": 2, "system_account": system.public})
    users = account.sign(user.public, {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1})
    creds = tmp_path / "edge.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{users}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    config = (
        f"operator: {operators}\nresolver: MEMORY\n"
        f"resolver_preload {{ {account.public}: {accounts}\n {system.public}: {systems} }}"
    )
    async with NatsServer(tmp_path, config=config) as nats:
        assert await _enters(Access((nats.url,), creds=str(creds)))
        assert not await _enters(Access((nats.url,)), 1.2)


async def test_nobody_is_asked_before_the_first_connect() -> None:
    with pytest.raises(SlipstreamError, match="has not answered"):
        await Api(Link(Access((f"nats://{HOST}:1",)), "x")).call("INFO")


_KEY_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class _Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"ca {folder.name}")])
        certificate = self._build(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.path = folder / "ca.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key, x509.BasicConstraints(ca=False, path_length=None))
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, constraints: x509.BasicConstraints
    ) -> x509.Certificate:
        # What RFC 5280 asks for: Python 3.13 and later take no other (VERIFY_X509_STRICT).
        uses = dict.fromkeys(_KEY_USES, False) | {"key_cert_sign" if constraints.ca else "digital_signature": True}
        own, issuers = key.public_key(), self._key.public_key()
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(own)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.KeyUsage(**uses), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


class _Key:
    """An nkey of one kind (NATS ADR-14), and the JWTs that it signs."""

    def __init__(self, prefix: int) -> None:
        raw = SigningKey.generate()
        self.seed = nkeys.encode_seed(bytes(raw), prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: str, nats: dict[str, object]) -> str:
        """A NATS JWT about `subject`, issued by this key."""
        claims = {"iss": self.public, "sub": subject, "iat": 1_700_000_000, "name": "test", "nats": nats}
        claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).decode().rstrip("=")
        signed = ".".join(_part(one) for one in ({"typ": "JWT", "alg": "ed25519-nkey"}, claims))
        return f"{signed}.{_base64(self._pair.sign(signed.encode()))}"


def _part(document: Mapping[str, object]) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
