"""What is wrong with an environment, in lines that name the variable, the value, the reason and an example."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

PREFIX: Final = "SLIPSTREAM_"

# kubelet sets these in every pod beside a Service whose name begins with "slipstream" (Kubernetes documentation,
# "Service: Environment variables"); SLIPSTREAM_PORT=tcp://10.0.0.7:80 is one of them.
_SERVICE_LINK: Final = re.compile(r"SLIPSTREAM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")
_SERVICE_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")
_SERVICE_LINK_ADVICE: Final = "Kubernetes set it for a Service; put `enableServiceLinks: false` into the pod's spec"

OF_COMMANDS: Final = frozenset({"SLIPSTREAM_TOKEN"})
"""Variables that commands read for themselves; they are no settings, and no faults."""

_USER_INFO: Final = re.compile(r"//.*@")
_SHOWN: Final = 80


class SettingsError(Exception):
    """The environment cannot be used. `faults` has one line for each thing to correct; the message has them all."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = "1 setting is" if len(self.faults) == 1 else f"{len(self.faults)} settings are"
        super().__init__("\n".join([f"{count} wrong:", *(f"  {fault}" for fault in self.faults)]))


class Contradiction(NamedTuple):
    """Settings that cannot all hold. fields: those concerned, the one to name first; message: why, and the way out."""

    fields: tuple[str, ...]
    message: str


class ContradictionsFound(ValueError):
    """Carries `found` through pydantic, which keeps the exception that a validator raised."""

    def __init__(self, found: list[Contradiction]) -> None:
        super().__init__("; ".join(f"{variable(one.fields[0])}: {one.message}" for one in found))
        self.found = tuple(found)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def text_of(value: object) -> str:
    """A default as one would write it in the environment; "" for none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def unknown(name: str, value: str, known: Iterable[str]) -> str:
    """The line for a variable that no setting has. Its value stays unsaid: it may be a misspelt password."""
    if _SERVICE_LINK.fullmatch(name) or _SERVICE_LINK_VALUE.fullmatch(value):
        return f"{name}: there is no such setting: {_SERVICE_LINK_ADVICE}"
    # Without the prefix, which all share, or everything would be near.
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
    advice = f"did you mean {PREFIX}{near[0]}?" if near else "see docs/reference/settings.md"
    return f"{name}: there is no such setting: {advice}"


def wrong_values(error: ValidationError, given: Mapping[str, str], fields: Mapping[str, FieldInfo]) -> dict[str, str]:
    """The line of each field whose own value is wrong; contradictions between fields are left out.

    given: the texts by field, as the environment has them.
    """
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        if not detail["loc"]:
            continue
        field = str(detail["loc"][0])
        name, value, info = variable(field), given.get(field, ""), fields[field]
        if _SERVICE_LINK_VALUE.fullmatch(value):
            reason = _SERVICE_LINK_ADVICE
        else:
            reason = detail["msg"].removeprefix("Value error, ").replace("Input should", "it should", 1)
        lines.setdefault(field, f"{name}={_shown(value, info)}: {reason}; for example {name}={_example(info)}")
    return lines


def contradictions(error: ValidationError) -> Iterator[Contradiction]:
    """The contradictions that a validation found, if any."""
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ContradictionsFound):
            yield from cause.found


def _shown(value: str, info: FieldInfo) -> str:
    if info.annotation == SecretStr | None:
        return "(secret)"
    hidden = _USER_INFO.sub("//(secret)@", value)
    return repr(hidden if len(hidden) <= _SHOWN else f"{hidden[:_SHOWN]}...")


def _example(info: FieldInfo) -> str:
    return str(info.examples[0]) if info.examples else text_of(info.default)
