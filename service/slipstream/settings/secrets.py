"""The tenants' secrets as files, `TENANT/NAME` under one directory: what a mounted Kubernetes Secret looks like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from slipstream.protocol.errors import quoted
from slipstream.shape.event import SecretMissing

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BYTES_MAX: Final = 64 * 1024


class SecretFiles:
    """Reads secrets as they are on disk, a line end included. `directory` None: there are none."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def get(self, tenant: str, name: str) -> bytes:
        """One secret. Raises SecretMissing, saying where it belongs."""
        if self._directory is None:
            raise SecretMissing(f"there is no secret {name}: SLIPSTREAM_SECRETS names no directory")
        if not _NAME.fullmatch(name):
            # Names come from documents, and a path in one would lead to another tenant's.
            raise SecretMissing(f"{quoted(name)} is no secret's name: use letters, digits, dots, dashes, underscores")
        path = self._directory / tenant / name
        try:
            secret = _read(path)
        except OSError as error:
            raise SecretMissing(f"the secret {name} cannot be read: put it into {path} ({error.strerror})") from error
        if not secret:
            raise SecretMissing(f"the secret {name} is empty: put it into {path}")
        return secret


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BYTES_MAX)
