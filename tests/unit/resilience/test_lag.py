"""Lateness is told so that a stall weighs as much as it lasted, and old lateness is forgotten."""

import asyncio
import time

import pytest

from slipstream.resilience.lag import TICK, LoopLag


def test_before_the_first_tick_nothing_is_known() -> None:
    assert LoopLag().document() == {"p50": None, "p99": None, "max": None}


def test_percentiles_are_of_the_lateness_in_milliseconds() -> None:
    lag = LoopLag()
    for number in range(1, 101):
        lag.record(number / 10_000)
    assert lag.document() == pytest.approx({"p50": 5.0, "p99": 9.9, "max": 10.0})


def test_a_stall_counts_for_every_tick_that_it_hid() -> None:
    lag = LoopLag()
    for _ in range(890):
        lag.record(0.0)
    lag.record(10.5 * TICK)
    found = lag.document()
    assert found["max"] == pytest.approx(105.0)
    assert lag.percentile_ms(99) == pytest.approx(15.0)
    assert found["p50"] == 0.0
    assert sum(late > 0 for late in lag._lates) == 11


def test_only_the_last_ten_seconds_are_remembered() -> None:
    lag = LoopLag()
    lag.record(0.005)
    for _ in range(999):
        lag.record(0.0)
    assert lag.percentile_ms(100) == pytest.approx(5.0)
    lag.record(0.0)
    assert lag.percentile_ms(100) == 0.0


def test_a_timer_that_is_early_is_not_late() -> None:
    lag = LoopLag()
    lag.record(-0.001)
    assert lag.percentile_ms(100) == 0.0


def test_a_stall_longer_than_the_window_is_told_whole() -> None:
    lag = LoopLag()
    lag.record(60.0)
    assert lag.percentile_ms(100) == pytest.approx(60_000.0)
    assert lag.percentile_ms(50) == pytest.approx(55_000.0, abs=20)


async def test_a_loop_that_is_blocked_is_found_to_be_late() -> None:
    lag, began = LoopLag(), time.monotonic()
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(3 * TICK)
    time.sleep(20 * TICK)  # noqa: ASYNC251 - the fault that is to be found
    await asyncio.sleep(3 * TICK)
    running.cancel()
    worst = lag.percentile_ms(100)
    assert worst is not None
    assert 1e3 * 18 * TICK < worst <= 1e3 * (time.monotonic() - began)
