"""An outcome as a run would make it, for the tests of what is told of one."""

from collections import Counter
from typing import Any

from loadtest.kills import Mark
from loadtest.latency import Histogram
from loadtest.outcome import Account, Established, Library, Measured, Outcome
from loadtest.roamed import Produced, Roamed
from loadtest.sample import Load, Sample
from loadtest.scenario import Scenario, parse
from loadtest.tally import Findings

TEXT = """
description: Two pods, one of which is killed
pods: 2
connections: 100
rate: 50
seconds: 10
churn: {per_second: 3}
kills: [{at: 3, what: edge, pod: 1, back: 1}]
settings: {DRAIN: 5}
aims: {deliveries_per_second: 4000, p99_ms: 20}
"""


def scenario(text: str = TEXT) -> Scenario:
    return parse(text, "made")


def histogram(*ms: float) -> Histogram:
    made = Histogram()
    for each in ms:
        made.record(int(each * 1e6))
    return made


def point(at: float, **others: Any) -> Sample:
    pods = [Load(0.25, 0.01, 40 << 20), None if at in (4.0, 5.0) else Load(0.5, 0.02, 42 << 20)]
    usual: dict[str, Any] = {
        "at": at,
        "seconds": 1.0,
        "published": 50.0,
        "delivered": 5_000.0,
        "live": 100,
        "came": 3.0,
        "left": 3.0,
        "p50_ms": None if at == 4.0 else 2.0,
        "p99_ms": None if at == 4.0 else 9.0,
        "pods": pods,
        "nats": Load(0.04, 0.0, 20 << 20),
        "sockets": 5 << 20,
    }
    return Sample(**usual | others)


def roamed(**others: Any) -> Roamed:
    inspected = others.pop("inspected", Findings(events=1_000, latency=histogram(1, 2, 3, 9)))
    usual: dict[str, Any] = {"events": 50_000, "opened": 130, "churned": 30, "missed": histogram(400, 900)}
    return Roamed(**usual | others, inspected=inspected)


def outcome(**others: Any) -> Outcome:
    done = others.pop("done", roamed())
    usual: dict[str, Any] = {
        "name": "made",
        "scenario": scenario(),
        "conditions": {"cpu": "a fast one", "cores": "two"},
        "samples": [point(float(at)) for at in range(1, 12)],
        "marks": [Mark(4.0, "pod 1: SIGKILL"), Mark(5.5, "pod 1: back")],
        "phases": [("opening 100 streams", 0.0, 1.0), ("50 events/s", 1.0, 11.0)],
        "measured": Measured(3.0, 11.0, 50.0, 5_000.0, done),
        "total": done,
        "produced": Produced(sent=500, acked=500, again=Counter({"no acknowledgement within 2 s": 2})),
        "stored": 500,
        "account": Account(100, 50_000, 0, 0),
        "library": Library(Account(10, 5_000, 0, 0), Roamed(opened=14, churned=3, ended=Counter({"end of stream": 1}))),
        "missing_clients": 0,
        "endings": Counter({"client": 30}),
        "established": Established(100, 2_600.0, 2_200.0, "Requests/sec:   2200.00"),
    }
    return Outcome(**usual | others)
