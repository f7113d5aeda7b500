"""`python -m tests.security`: try every attack, and say which were not refused as expected."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.security.attacks import ROWS
from tests.security.report import Outcomes, show


def main() -> int:
    """0 where every attack was refused and nothing else failed."""
    outcomes = Outcomes()
    elsewhere = sorted({test for row in ROWS for test in row.tests})
    arguments = ["--quiet", "--no-header", "--tb=short", "-rN", str(Path(__file__).parent), *elsewhere]
    status = pytest.main(arguments, plugins=[outcomes])
    show(outcomes, Console(width=160))
    return 0 if status == pytest.ExitCode.OK and outcomes.good else 1


if __name__ == "__main__":
    sys.exit(main())
