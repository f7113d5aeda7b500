"""The report of a load test: Markdown beside its plots, and everything as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from loadtest.establish import POLL, WRK_CONNECTIONS, WRK_SECONDS
from loadtest.outcome import Established, Library, Outcome, judge
from loadtest.report import number
from loadtest.scenario import Scenario

_MIB: Final = 1024 * 1024
_PERCENTS: Final = (50, 90, 99, 99.9, 100)
_NO_NUMBER: Final = "-"


def write(outcome: Outcome, folder: Path, remarks: Sequence[str] = ()) -> Path:
    """Write `report.md`, its plots and `outcome.json` into a folder, which is made; the path of the report.

    remarks: how the run differs from its scenario's file.
    """
    from loadtest.plots import draw  # noqa: PLC0415 - matplotlib is only there to draw, and slow to load

    folder.mkdir(parents=True, exist_ok=True)
    draw(outcome, folder)
    (folder / "outcome.json").write_bytes(orjson.dumps(document(outcome), option=orjson.OPT_INDENT_2) + b"\n")
    path = folder / "report.md"
    path.write_text(text(outcome, remarks))
    return path


def document(outcome: Outcome) -> dict[str, Any]:
    """Everything as JSON values."""
    produced = outcome.produced
    return {
        "name": outcome.name,
        "scenario": outcome.scenario.model_dump(mode="json"),
        "conditions": outcome.conditions,
        "reached": outcome.reached(),
        "aims": [
            {"what": one.what, "aim": str(one.aim), "reached": one.reached, "met": one.met}
            for one in judge(outcome.scenario.aims, outcome.reached())
        ],
        "faults": outcome.faults(),
        "notes": outcome.notes(),
        "account": asdict(outcome.account),
        "library": _library_document(outcome.library),
        "stored": outcome.stored,
        "published": {"sent": produced.sent, "acked": produced.acked, "late": produced.late, "again": produced.again},
        "refused": outcome.total.failed,
        "ended": outcome.total.ended,
        "endings": outcome.endings,
        "established": asdict(outcome.established),
        "marks": [asdict(mark) for mark in outcome.marks],
        "phases": outcome.phases,
        "samples": [asdict(point) for point in outcome.samples],
    }


def text(outcome: Outcome, remarks: Sequence[str] = ()) -> str:
    """The report."""
    parts = [
        f"# Load test: {outcome.name}",
        outcome.scenario.description + ".",
        _summary(outcome.scenario),
        *(f"> {remark}." for remark in remarks),
        "## Aims",
        _aims(outcome),
        *(f"- **Fault: {fault}.**" for fault in outcome.faults()),
        *(f"- {note}" for note in outcome.notes()),
        "## Events published and delivered",
        "![Events published and delivered a second, over time](throughput.png)",
        "## Latency",
        "![Distribution of the latency, and its percentiles in each second](latency.png)",
        _latency(outcome),
        _LATENCY_MEANS,
        "## Live streams",
        "![Live streams, and how many were opened and ended a second](connections.png)",
        *_happened(outcome),
        "## Pods",
        "![Processor time and memory of each pod, and the memory of all sockets](pods.png)",
        _pods(outcome),
        "## The account",
        _account(outcome),
        "## Opening connections",
        _established(outcome.established),
        "## Conditions",
        _table(("", ""), outcome.conditions.items(), left=2),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_LATENCY_MEANS: Final = (
    "Of one client in 50, which reads at once; from just before the first try to publish until the client had read the "
    "event, on one monotonic clock. What was published before the client's connection had begun is told apart: that "
    "time is how long it was away, and what catching up took."
)


def _summary(scenario: Scenario) -> str:
    sizes = ", ".join(f"{size.bytes:,}" for size in scenario.size)
    rows = [
        ("pods", f"{scenario.pods}"),
        ("streams", f"{scenario.connections:,}, opened {scenario.ramp:,g} a second"),
        ("topics", _topics(scenario)),
        ("events", f"{scenario.rate:,g} a second for {scenario.seconds:g} s, payloads of {sizes} bytes"),
    ]
    if scenario.churn.per_second:
        churn = scenario.churn
        rows.append(("churn", f"{churn.per_second:g} streams a second close and come back after {churn.away:g} s"))
    if slow := scenario.slow_connections:
        rows.append(("slow readers", f"{slow:,}, {scenario.slow.bytes_per_second:,} bytes a second each"))
    rows.append(("of the streams", f"{scenario.library_connections:,} are read by `slipstream.client`"))
    for kill in scenario.kills:
        how = {"edge": "SIGKILL", "drain": "SIGTERM, drains", "nats": "SIGTERM"}[kill.what]
        rows.append((f"after {kill.at:g} s", f"{kill.victim}: {how}; started again {kill.back:g} s later"))
    if scenario.settings:
        rows.append(("settings", ", ".join(f"`{name}={value}`" for name, value in scenario.environment.items())))
    return _table(("scenario", ""), rows, left=2)


def _topics(scenario: Scenario) -> str:
    topics = scenario.topics
    each = {"all": "all of them", "own": "one of its own", "shared": f"a choice of {topics.subset}"}[topics.each]
    return f"{topics.count:,}, each stream has {each}"


def _aims(outcome: Outcome) -> str:
    rows = [
        (one.what, str(one.aim), number(one.reached), "met" if one.met else "**missed**")
        for one in judge(outcome.scenario.aims, outcome.reached())
    ]
    return _table(("", "aim", "reached", ""), rows, left=1)


def _latency(outcome: Outcome) -> str:
    done = outcome.measured.done
    found = {"live": done.inspected.latency, "missed while away": done.missed}
    head = ["ms", "events", *(f"p{percent:g}" if percent < 100 else "most" for percent in _PERCENTS)]
    rows = [
        [name, f"{times.count:,}", *(_ms(times.percentile(percent)) for percent in _PERCENTS)]
        for name, times in found.items()
        if times.count or name == "live"
    ]
    return _table(head, rows, left=1)


def _ms(ns: float | None) -> str:
    return _NO_NUMBER if ns is None else number(ns / 1e6)


def _happened(outcome: Outcome) -> Iterable[str]:
    """What was done to servers, why streams were not got, and why they ended."""
    if outcome.marks:
        yield _table(("second", "what"), [(f"{mark.at:.1f}", mark.text) for mark in outcome.marks], left=2)
    total = outcome.total
    rows = [
        ("streams opened", f"{total.opened:,}"),
        ("closed by the client, to come back", f"{total.churned:,}"),
        *((f"ended by the other side: {why}", f"{count:,}") for why, count in total.ended.most_common()),
        *((f"not opened: {why}", f"{count:,}") for why, count in total.failed.most_common()),
        *((f"the edges' reason: {why}", f"{count:,}") for why, count in outcome.endings.most_common()),
    ]
    yield _table(("", "count"), rows, left=1)


def _pods(outcome: Outcome) -> str:
    rows = []
    for pod in range(outcome.scenario.pods):
        if not (loads := outcome.loads(pod)):
            rows.append((f"pod {pod}", *[_NO_NUMBER] * 4))
            continue
        cpu = [load.cpu for load in loads]
        waited = statistics.fmean(load.waited for load in loads)
        memory = max(load.memory for load in loads) / _MIB
        rows.append(
            (f"pod {pod}", f"{statistics.fmean(cpu):.0%}", f"{max(cpu):.0%}", f"{waited:.0%}", f"{memory:.1f} MiB")
        )
    head = ("", "CPU, mean", "CPU, most in a second", "waited for its core, mean", "memory, most (Pss)")
    return _table(head, rows, left=1)


def _account(outcome: Outcome) -> str:
    account, found, produced = outcome.account, outcome.total.inspected, outcome.produced
    rows = [
        ("events published", f"{produced.sent:,}"),
        ("of these acknowledged by JetStream", f"{produced.acked:,}"),
        *((f"published again: {why}", f"{count:,}") for why, count in produced.again.most_common()),
        ("messages in the tenant's stream", f"{outcome.stored:,}"),
        ("clients in the account", f"{account.clients:,}"),
        ("deliveries due to them", f"{account.due:,}"),
        ("too few, by the count of each client", f"{account.lost:,}"),
        ("too many, by the count of each client", f"{account.repeated:,}"),
        ("events on the inspected clients, read one by one", f"{found.events:,}"),
        ("of these out of order", f"{found.disordered:,}"),
        ("of these had before", f"{found.duplicated:,}"),
        ("`stream.gap` frames there", f"{found.gaps:,}"),
    ]
    if outcome.scenario.topics.each == "all":
        rows.append(("numbers left out there, and not told by a gap", f"{found.missing:,}"))
    return "\n\n".join([_table(("", "count"), rows, left=1), _library(outcome.library), _ACCOUNT_MEANS])


def _library(library: Library) -> str:
    account, done, found = library.account, library.done, library.done.inspected
    figures = {
        "due": account.due,
        "lost": account.lost,
        "repeated": max(account.repeated, found.duplicated),
        "out of order": found.disordered,
        "gaps": found.gaps,
        "closed by themselves": done.churned,
        "ended by the other side": done.ended.total(),
        "attempts that failed": done.failed.total(),
        "came back": library.returned,
    }
    row = [f"{account.clients:,} readers of `slipstream.client`", *(f"{count:,}" for count in figures.values())]
    return _table(["", *figures], [row], left=1)


def _library_document(library: Library) -> dict[str, Any]:
    done, found = library.done, library.done.inspected
    return {
        **asdict(library.account),
        "events": found.events,
        "disordered": found.disordered,
        "duplicated": found.duplicated,
        "gaps": found.gaps,
        "opened": done.opened,
        "returned": library.returned,
        "churned": done.churned,
        "ended": done.ended,
        "failed": done.failed,
    }


_ACCOUNT_MEANS: Final = (
    "Every client is counted over all its connections, whole frames only, and has to have exactly as many events as "
    "its topics had; one lost and one repeated on the same client would hide one another there. One client in 50 is "
    "inspected: the sequence number in each id is compared with all that this client has had. So it is for the readers "
    "that are a `slipstream.client.Stream`, as a program in Python has it; where there are several pods they come "
    "through one address (Caddy). They are in the figures above, but not in those of latency."
)


def _established(found: Established) -> str:
    rows = [
        (
            f"our own client: {found.streams:,} streams of `GET /v1/events` at once, until the last one streams",
            f"{number(found.streams_per_second)} /s",
        ),
        (f"`wrk`: `GET {POLL}`, a new connection for each", f"{number(found.requests_per_second)} /s"),
    ]
    if found.streams_per_second is None:
        return "Not measured in this run."
    told = (
        f"An event stream does not end, so `wrk` cannot count one. It asks for an empty page instead, with "
        f"`Connection: close` over {WRK_CONNECTIONS} connections for {WRK_SECONDS} s on one pod: TCP handshake, HTTP "
        "parsing, tenant and topics, the look-up of the position, a JSON answer, and the close. What it leaves out is "
        "the hand-over of the socket and the first frames; our own client's figure has those, and no close."
    )
    if not found.wrk:
        told += "\n\nThere is no `wrk` on this machine (`make loadtest` installs it), so its part was not measured."
    return "\n\n".join([_table(("", "rate"), rows, left=1), told, *([f"```\n{found.wrk}\n```"] if found.wrk else [])])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> str:
    """A Markdown table; the first `left` columns are texts, the others numbers, which stand on the right."""
    rule = ["---" if column < left else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
