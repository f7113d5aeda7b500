"""The list is whole: every row has a test, and every test that a row names is there."""

import importlib
import inspect
from pathlib import Path

import pytest

from tests.security.attacks import ROWS, Row, attack
from tests.security.report import Outcomes, rows_of

HERE = Path(__file__).parent


def marked() -> set[str]:
    """The rows that tests of this folder try."""
    found = set()
    for path in HERE.glob("test_*.py"):
        module = importlib.import_module(f"tests.security.{path.stem}")
        for _, function in inspect.getmembers(module, inspect.isfunction):
            marks = getattr(function, "pytestmark", [])
            found |= {name for mark in marks if mark.name == "attack" for name in mark.args}
    return found


def test_each_attack_is_there_once_and_says_what_it_would_give() -> None:
    assert len({row.attack for row in ROWS}) == len(ROWS)
    assert all(row.theme and row.expected and row.gains for row in ROWS)


def test_each_attack_has_a_test() -> None:
    assert {row.attack for row in ROWS if not row.tests} <= marked()


@pytest.mark.parametrize("row", [row for row in ROWS if row.tests], ids=lambda row: row.attack)
def test_the_tests_elsewhere_are_there(row: Row) -> None:
    for node in row.tests:
        path, _, name = node.partition("::")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert callable(getattr(module, name)), node


def test_a_mark_that_is_in_no_list_is_refused() -> None:
    with pytest.raises(KeyError, match="no attack"):
        attack("something else")


def test_what_fails_is_told(request: pytest.FixtureRequest) -> None:
    outcomes, row = Outcomes(), ROWS[0]
    outcomes._rows["a.py::test_it"] = (row.attack,)
    assert not outcomes.refused(row), "it was not tried"
    for outcome, good in (("passed", True), ("failed", False)):
        report = pytest.TestReport("a.py::test_it", ("a.py", 1, "test_it"), {}, outcome, "assert 200 == 403", "call")  # type: ignore[arg-type]
        outcomes.pytest_runtest_logreport(report)
        assert outcomes.refused(row) is good
    assert outcomes.came[row.attack] == ["test_it: call failed: assert 200 == 403"]
    assert rows_of(request.node) == ()
