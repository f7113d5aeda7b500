"""A scenario: what is loaded how, for how long, what breaks meanwhile, and what is aimed at. A small YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

FOLDER: Final = Path(__file__).resolve().parent / "scenarios"
SUFFIX: Final = ".yaml"
TOPICS_MAX: Final = 32
"""Most topics of one stream (the edge's default)."""

_LIBRARY_ONE_IN: Final = 10

PAYLOAD_MIN: Final = 170
"""The longest of the real flights, with the time in front, takes so many bytes."""


class ScenarioError(ValueError):
    """A scenario that cannot be run. `faults` has one line for each thing to correct; the message has them all."""

    def __init__(self, name: str, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join([f"{name} is no scenario:", *(f"  {fault}" for fault in self.faults)]))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Topics(_Part):
    """The topics `load.0`, `load.1` and so on, of which each event has one, picked by chance.

    each: the streams of a connection have `all` of them, one of its `own` (number n has topic n modulo `count`), or a
    `shared` choice of `subset` of them.
    """

    count: int = Field(8, ge=1, le=100_000)
    each: Literal["all", "own", "shared"] = "all"
    subset: int = Field(4, ge=1, le=TOPICS_MAX)


class Size(_Part):
    """Payloads of so many bytes, and how often they come beside those of other sizes."""

    bytes: int = Field(ge=PAYLOAD_MIN, le=200_000)
    weight: float = Field(1.0, gt=0)


class Churn(_Part):
    """Connections that close every second, of all, and come back `away` seconds later with their last id, anywhere."""

    per_second: float = Field(ge=0, le=10_000)
    away: float = Field(1.0, ge=0, le=60, description="seconds")


class Slow(_Part):
    """The share of connections that take only so many bytes a second; 0 means that they stop reading."""

    share: float = Field(ge=0, le=0.5)
    bytes_per_second: int = Field(0, ge=0, le=200_000)


class Kill(_Part):
    """What goes away `at` seconds after the first event, and is started again `back` seconds later.

    what: an `edge` gets SIGKILL; a `drain` is an edge that gets SIGTERM; `nats` is restarted.
    """

    at: float = Field(ge=0)
    what: Literal["edge", "drain", "nats"]
    pod: int = Field(0, ge=0)
    back: float = Field(2.0, ge=0, le=120)

    @property
    def victim(self) -> str:
        """Whom it is done to."""
        return "nats-server" if self.what == "nats" else f"pod {self.pod}"


class Aims(_Part):
    """What is aimed at; what is left out is not judged. Rates and times are of the measured time alone."""

    deliveries_per_second: float | None = Field(None, gt=0, description="at least")
    published_per_second: float | None = Field(None, gt=0, description="at least")
    p50_ms: float | None = Field(None, gt=0, description="at most")
    p99_ms: float | None = Field(None, gt=0, description="at most")
    lost: int | None = Field(0, ge=0, description="at most")
    duplicated: int | None = Field(0, ge=0, description="at most")
    broken: int | None = Field(None, ge=0, description="at most; streams that ended by a reset, not by their end")


def _sizes(given: Any) -> Any:
    """One number stands for one size."""
    if not given:
        raise ValueError("a payload has a size: a number of bytes, or a list of sizes with weights")
    return [{"bytes": given}] if isinstance(given, int) else given


class Scenario(_Part):
    """What one load test does.

    pods: edges; rate: events a second, of the whole tenant; size: bytes of a payload, or a list of sizes with weights;
    library: how many of the connections are readers of `slipstream.client`, at most one in ten, at least one;
    seconds: of publishing; settle: of these, how many pass before rates and latency count; ramp: connections opened a
    second; settings: more of the edge's settings, `SLIPSTREAM_` left out.
    """

    description: str = Field(min_length=1)
    pods: int = Field(1, ge=1, le=8)
    connections: int = Field(ge=1, le=100_000)
    library: int = Field(20, ge=1, le=1_000)
    topics: Topics = Topics()
    rate: float = Field(gt=0, le=20_000)
    size: Annotated[tuple[Size, ...], BeforeValidator(_sizes)] = (Size(bytes=200, weight=1),)
    seconds: float = Field(gt=0, le=3_600)
    settle: float = Field(2.0, ge=0)
    ramp: float = Field(1_000, gt=0, le=20_000)
    churn: Churn = Churn(per_second=0)
    slow: Slow = Slow(share=0)
    kills: tuple[Kill, ...] = ()
    settings: dict[str, str | int | float] = {}
    aims: Aims = Aims()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if found := [*self._contradictions()]:
            raise ValueError("\n".join(found))
        return self

    def _contradictions(self) -> Iterable[str]:
        if self.settle >= self.seconds:
            yield f"settle: {self.settle:g} s leave nothing of {self.seconds:g} s to measure; lower it"
        if self.topics.each == "shared" and self.topics.subset > self.topics.count:
            yield f"topics.subset: there are only {self.topics.count} topics"
        back = dict[str, float]()
        for number, kill in sorted(enumerate(self.kills), key=lambda one: one[1].at):
            if kill.at >= self.seconds:
                yield f"kills.{number}.at: {kill.at:g} s is after the end, {self.seconds:g} s"
            if kill.what != "nats" and kill.pod >= self.pods:
                yield f"kills.{number}.pod: there is no pod {kill.pod}: they are numbered 0 to {self.pods - 1}"
            if kill.at < back.get(kill.victim, 0.0):
                yield f"kills.{number}.at: {kill.victim} is away already until {back[kill.victim]:g} s"
            back[kill.victim] = kill.at + kill.back

    @property
    def slow_connections(self) -> int:
        """How many connections read slowly."""
        return int(self.connections * self.slow.share)

    @property
    def library_connections(self) -> int:
        """How many connections are readers of `slipstream.client`."""
        return max(1, min(self.library, self.connections // _LIBRARY_ONE_IN))

    @property
    def environment(self) -> dict[str, str]:
        """The edges' settings as environment variables."""
        return {f"SLIPSTREAM_{name.upper()}": str(value) for name, value in self.settings.items()}


def names() -> list[str]:
    """The scenarios that are shipped."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def load(name: str) -> Scenario:
    """The shipped scenario of that name, or the one in that file. Raises ScenarioError with all faults."""
    path = Path(name) if name.endswith(SUFFIX) else FOLDER / f"{name}{SUFFIX}"
    try:
        text = path.read_text()
    except OSError as error:
        near = difflib.get_close_matches(name, names(), n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}, and files *{SUFFIX}"
        raise ScenarioError(name, [f"{path}: {error.strerror}; {advice}"]) from error
    return parse(text, name)


def parse(text: str, name: str) -> Scenario:
    """The scenario of a YAML text. Raises ScenarioError with all faults, each with the path of its field."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(name, [f"no YAML: {error}"]) from error
    if not isinstance(given, dict):
        raise ScenarioError(name, ["a scenario is a mapping of fields; the least are description, connections, rate"])
    try:
        return Scenario.model_validate(given)
    except ValidationError as error:
        raise ScenarioError(name, _faults(error)) from error


def _faults(error: ValidationError) -> list[str]:
    """A line for each fault; contradictions bring their own paths."""
    lines = []
    for detail in error.errors(include_url=False):
        if path := ".".join(map(str, detail["loc"])):
            given = "" if detail["type"] == "missing" else f" (given: {detail['input']!r:.60})"
            lines.append(f"{path}: {detail['msg']}{given}")
        else:
            lines += detail["msg"].removeprefix("Value error, ").splitlines()
    return lines
