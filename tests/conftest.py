"""One seed for all of random: the same as Hypothesis has, told at the head of every run."""

import random

import pytest
from hypothesis import settings

# A deadline for an example would be a test of this machine's speed.
settings.register_profile("slipstream", deadline=None)
settings.load_profile("slipstream")


def _seed(config: pytest.Config) -> int:
    return int(config.getoption("--hypothesis-seed"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {_seed(config)} (another: pytest --hypothesis-seed=N)"


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Every test begins with the same random numbers, whatever ran before it."""
    random.seed(_seed(request.config))
