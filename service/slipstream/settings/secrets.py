"""The tenants' secrets as files, `TENANT/NAME` under one directory: what a mounted Kubernetes Secret looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from slipstream.shape.event import SecretMissing

_BYTES_MAX: Final = 64 * 1024


class SecretFiles:
    """Reads secrets as they are on disk, a line end included. `directory` None: there are none.

    Names come from tenant documents, whose grammar has no separator and no leading dot in them.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def get(self, tenant: str, name: str) -> bytes:
        """One secret. Raises SecretMissing, saying where it belongs."""
        if self._directory is None:
            raise SecretMissing(f"there is no secret {name}: SLIPSTREAM_SECRETS names no directory")
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
