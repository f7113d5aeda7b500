"""Verdicts, numbers and the document."""

import pytest

from loadtest import report
from loadtest.result import Aim, Result


@pytest.mark.parametrize(
    ("aim", "reached", "verdict"),
    [
        (Aim(150, "x/s"), 150, "reached"),
        (Aim(150, "x/s"), 75, "missed (50% of it)"),
        (Aim(1536, "bytes", at_most=True), 700, "reached"),
        (Aim(1536, "bytes", at_most=True), 3072, "missed (200% of it)"),
        (None, 75, "-"),
    ],
)
def test_the_verdict(aim: Aim | None, reached: float, verdict: str) -> None:
    assert report.verdict(Result("w", "w", reached, aim)) == verdict


def test_a_fault_is_the_verdict_whatever_was_reached() -> None:
    assert report.verdict(Result("w", "w", 200, Aim(150, "x/s"), faults=["1 events lost"])) == "FAULTY"


def test_the_document_has_everything_a_program_needs() -> None:
    result = Result("w", "10 streams", 200, Aim(150, "x/s"), {"latency p50, ms": 1.5}, ["note"])
    assert report.document({"cpu": "x"}, [result]) == {
        "conditions": {"cpu": "x"},
        "results": [
            {
                "workload": "w",
                "title": "10 streams",
                "reached": 200,
                "aim": {"value": 150, "unit": "x/s", "at_most": False},
                "figures": {"latency p50, ms": 1.5},
                "notes": ["note"],
                "faults": [],
                "verdict": "reached",
            }
        ],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1_234_567.8, "1,234,568"), (99.96, "100"), (3.14159, "3.14"), (0.0123456, "0.0123")],
)
def test_numbers_have_the_digits_that_count(value: float | None, text: str) -> None:
    assert report.number(value) == text
