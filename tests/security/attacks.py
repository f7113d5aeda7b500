"""The list of attacks, `attacks.yaml`: what is tried, how it must be answered, and what it would give where it is not.

`tests` are node ids of tests elsewhere that try the same; in this folder a test says `@attack(NAME)`.
"""

from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml


class Row(NamedTuple):
    """One attack. gains: what the attacker would have of it."""

    theme: str
    attack: str
    expected: str
    gains: str
    tests: tuple[str, ...] = ()


def _read() -> tuple[Row, ...]:
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return tuple(Row(**{**row, "tests": tuple(row.get("tests", ()))}) for row in rows)


ROWS: Final = _read()
_NAMES: Final = frozenset(row.attack for row in ROWS)


def attack(name: str) -> pytest.MarkDecorator:
    """Says which row a test tries. Raises KeyError for one that is not in the list."""
    if name not in _NAMES:
        raise KeyError(f"there is no attack {name!r} in tests/security/attacks.yaml")
    return pytest.mark.attack(name)
