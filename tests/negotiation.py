"""The rows of the negotiation, read from the page that promises them."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slipstream.protocol.retry import RETRYABLE

_PAGE = Path(__file__).parents[1] / "docs" / "retries.md"
_HEADING = "| `spec.retry` | `Retry-Preferences` | `X-Retry-Policy` | base | why |\n"


class Row(NamedTuple):
    """policy: of the tenant. preferences: of the client; "" for none. answer: the whole `X-Retry-Policy`."""

    policy: dict[str, Any]
    preferences: str
    answer: str
    base: str
    why: str

    def __str__(self) -> str:
        return self.why


def _rows() -> list[Row]:
    table = _PAGE.read_text("utf-8").split(_HEADING, 1)[1].split("\n\n", 1)[0]
    found = []
    for line in table.splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        policy, preferences, answer, base = (re.sub(r"^`(.*)`$", r"\1", cell) for cell in cells[:4])
        answer += f", retryable=({' '.join(RETRYABLE)})"
        found.append(Row(yaml.safe_load(policy), "" if preferences == "none" else preferences, answer, base, cells[4]))
    return found


ROWS = _rows()
