"""An edge that wants tokens: an issuer of the load test's own, what the edge is told of it, and tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from loadtest.servers import TENANT
from slipstream.auth.mint import DEV_ISSUER, SigningKey, Wanted, mint, private_key

_LIFE: Final = 3_600
SPEC: Final[dict[str, object]] = {"access_token_in_url": True}
"""What the tenant's document has, so that clients that set no headers can be let in, too."""


@dataclass(frozen=True, slots=True)
class Guard:
    """settings: the edge's environment."""

    key: SigningKey
    settings: dict[str, str]

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Guard]:
        """With an RSA key, as most issuers have; its file is there for the time of the block."""
        material = rsa.generate_private_key(65537, 2048)
        key = private_key(material.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with TemporaryDirectory(prefix="slipstream-issuers-") as folder:
            path = Path(folder) / "issuers.json"
            path.write_bytes(orjson.dumps({"issuers": [{"issuer": DEV_ISSUER, "keys": [key.jwk]}]}))
            yield cls(key, {"SLIPSTREAM_AUTH": "jwt", "SLIPSTREAM_ISSUERS": str(path)})

    def token(self, subject: str) -> str:
        """A token that may read."""
        wanted = Wanted(TENANT, subject, ["subscribe"], None)
        return mint(wanted, self.key, int(time.time()), _LIFE, subject)

    def opens(self, target: str) -> str:
        """`target` with a token in it."""
        return f"{target}&access_token={quote(self.token('witness'))}"
