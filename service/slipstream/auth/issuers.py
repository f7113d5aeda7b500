"""The issuers whose tokens a tenant takes: its own, else the default ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from slipstream.tenants.issuer import Issuer, Issuers
from slipstream.tenants.part import Part
from slipstream.tenants.registry import Registry


class IssuersError(ValueError):
    """The file of default issuers cannot be used; the message names the file and every fault."""


class _File(Part):
    issuers: Issuers = ()


class IssuersOf:
    """Called with a tenant's name: its issuers by their `iss`. An unknown tenant has the default ones."""

    def __init__(self, defaults: tuple[Issuer, ...], registry: Registry) -> None:
        self._defaults: Mapping[str, Issuer] = {one.issuer: one for one in defaults}
        self._registry = registry

    def __call__(self, name: str) -> Mapping[str, Issuer]:
        """Its own take the place of the default ones: whoever names issuers wants no others."""
        tenant = self._registry.get(name)
        own = () if tenant is None else tenant.spec.issuers
        return {one.issuer: one for one in own} if own else self._defaults


def read_issuers(path: Path) -> tuple[Issuer, ...]:
    """The default issuers: YAML or JSON, `issuers:` with a list of what a tenant document has there.

    Raises IssuersError with all faults.
    """
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _File.model_validate({} if document is None else document).issuers
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise IssuersError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, one['loc'])) or 'the document'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False)
        )
        raise IssuersError(f"{path}: {'; '.join(faults)}") from error
    except (ValueError, RecursionError) as error:
        # PyYAML lets through what Python says of a date like 2001-99-99, and of nesting without end.
        raise IssuersError(f"{path}: {error}") from error
