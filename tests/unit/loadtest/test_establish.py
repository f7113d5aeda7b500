"""What wrk printed is read, and answers that are errors are no measurement."""

import pytest

from loadtest.child import ChildFailed
from loadtest.establish import requests_per_second

PRINTED = """Running 4s test @ http://127.0.0.1:25385/v1/poll
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    22.40ms    1.28ms  42.10ms   93.85%
  8876 requests in 4.00s, 3.31MB read
Requests/sec:   2218.06
Transfer/sec:    846.93KB
"""


def test_the_rate_is_read() -> None:
    assert requests_per_second(PRINTED) == 2218.06


def test_nothing_printed_is_nothing_measured() -> None:
    assert requests_per_second("") is None


def test_errors_are_no_measurement() -> None:
    with pytest.raises(ChildFailed, match="did not get what it asked for"):
        requests_per_second(PRINTED + "  Non-2xx or 3xx responses: 12\n")
