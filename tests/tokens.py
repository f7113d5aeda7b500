"""Issuers of tokens for tests: keys of each kind, tokens that say anything, and a server of JWK Sets that can fail.

Tokens are put together by hand, so that they may be as wrong as a test wants them.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from slipstream.auth.mint import SigningKey, private_key
from tests.web import served

ISSUER = "https://id.example"
TENANT = "acme"


def pem(material: Any) -> bytes:
    return bytes(material.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> SigningKey:
    return private_key(pem(rsa.generate_private_key(65537, bits)))


@cache
def ec_key(number: int = 0) -> SigningKey:
    return private_key(pem(ec.generate_private_key(ec.SECP256R1())))


@cache
def ed_key(number: int = 0) -> SigningKey:
    return private_key(pem(ed25519.Ed25519PrivateKey.generate()))


def jwk(key: SigningKey) -> dict[str, Any]:
    assert key.jwk is not None
    return key.jwk


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(now: float | None = None, **changes: Any) -> dict[str, Any]:
    """Of a token that is right for an hour; a change to None leaves the claim out."""
    at = int(time.time() if now is None else now)
    made = {
        "iss": ISSUER,
        "sub": "ada",
        "aud": "slipstream",
        "tenant": TENANT,
        "scope": "subscribe publish",
        "iat": at,
        "exp": at + 3600,
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def token(key: SigningKey, says: dict[str, Any], **header: Any) -> str:
    """Signed by `key`; `header` changes the header, its None leaves a member out."""
    import jwt  # noqa: PLC0415 - the name is also a word of this module's users

    top = {"alg": key.algorithm, "typ": "JWT", "kid": None if key.jwk is None else key.jwk["kid"], **header}
    top = {name: value for name, value in top.items() if value is not None}
    signing_input = f"{b64(json.dumps(top).encode())}.{b64(json.dumps(says).encode())}"
    algorithm = jwt.get_algorithm_by_name(key.algorithm)
    return f"{signing_input}.{b64(algorithm.sign(signing_input.encode(), key.material))}"


def hmac_token(secret: bytes, says: dict[str, Any], **header: Any) -> str:
    """Signed with HS256 over any bytes at all, a public key for one."""
    top = {"alg": "HS256", "typ": "JWT", **header}
    signing_input = f"{b64(json.dumps(top).encode())}.{b64(json.dumps(says).encode())}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


class JwksServer:
    """Serves `keys` at `url`; `status`, `body`, `location` and `silent` override what it says.

    `asked`: the paths that were asked for.
    """

    def __init__(self) -> None:
        self.keys: list[SigningKey] = []
        self.status = 200
        self.body: bytes | None = None
        self.location: str | None = None
        self.silent = False
        self.asked: list[str] = []
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serving(cls, *keys: SigningKey) -> AsyncIterator["JwksServer"]:
        server = cls()
        server.keys = list(keys)
        app = web.Application()
        app.router.add_get("/{path:.*}", server._answer)
        async with served(app) as origin:
            server.url = f"{origin}/jwks.json"
            yield server

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.silent:
            await asyncio.Event().wait()
        if self.location is not None and request.path == "/jwks.json":
            return web.Response(status=302, headers={"Location": self.location})
        body = self.body if self.body is not None else json.dumps({"keys": [jwk(key) for key in self.keys]}).encode()
        return web.Response(status=self.status, body=body, content_type="application/json")
