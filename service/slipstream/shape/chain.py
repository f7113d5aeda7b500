"""The chain of a tenant's hooks: made once for each tenant document, run once for each event and view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.event import check_event_name
from slipstream.shape.event import Context, Dropped, Event, Hook, HookFactory, Outcome, SecretMissing, Withheld
from slipstream.tenants.shaping import HookSpec

DATA_MAX: Final = 8 * 2**20
"""Most bytes of data that a hook may answer: the largest event that a tenant may have."""

SIGNATURE_MAX: Final = 16 * 2**10
"""Most characters of a signature."""

_DROPPED: Final = Dropped()


class Link(NamedTuple):
    """A hook and the name under which the tenant document has it."""

    name: str
    hook: Hook


class Chain(NamedTuple):
    """faults: one sentence for each hook that cannot be made; then no event may pass."""

    links: tuple[Link, ...]
    faults: tuple[str, ...]


def make_chain(
    tenant: str, specs: Sequence[HookSpec], secret: Callable[[str], bytes], factories: Mapping[str, HookFactory]
) -> Chain:
    """The hooks in their order. secret: of the tenant, by name; raises SecretMissing. Never raises."""
    links: list[Link] = []
    faults: list[str] = []
    for spec in specs:
        factory = factories.get(spec.name)
        if factory is None:
            known = ", ".join(sorted(factories)) or "none"
            faults.append(f"hook {spec.name}: no package has it; install the one that does (there are: {known})")
            continue
        try:
            links.append(Link(spec.name, factory(Context(tenant, spec.config, secret))))
        except (SecretMissing, ValueError) as error:
            faults.append(f"hook {spec.name}: {error}")
        except Exception as error:  # noqa: BLE001 - somebody else's code; told as the tenant's fault
            faults.append(f"hook {spec.name}: its factory raised {type(error).__name__}: {error}")
    return Chain(tuple(links), tuple(faults))


def run(links: Sequence[Link], event: Event) -> Outcome:
    """The event after all hooks, in their order.

    Dropped by the first that answers None. Withheld where a hook raises or answers something that is no event of the
    same id, topic and time; the reason names the hook and has nothing of the event.
    """
    for name, hook in links:
        try:
            answer = hook(event)
        except Exception as error:  # noqa: BLE001 - whatever somebody's hook does, the event must not pass
            return Withheld(f"the hook {name} raised {type(error).__name__}")
        if answer is event:
            continue
        if answer is None:
            return _DROPPED
        fault = answer_fault(event, answer)
        if fault is not None:
            return Withheld(f"the hook {name} answered {fault}")
        event = answer
    return event


def answer_fault(event: Event, answer: object) -> str | None:
    """What is wrong with an answer to this event that is not None, as the end of a sentence; None if nothing is."""
    if type(answer) is not Event:
        return f"{type(answer).__name__}, not an Event or None"
    if (answer.id, answer.topic, answer.time_ms) != (event.id, event.topic, event.time_ms):
        return "an event with another id, topic or time"
    return _data_fault(answer.data) or _name_fault(answer.event) or _signature_fault(answer.signature)


def _data_fault(data: object) -> str | None:
    if not isinstance(data, bytes):
        return "data that are not bytes"
    if len(data) > DATA_MAX:
        return f"more than {DATA_MAX} bytes of data"
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return "data that are not UTF-8"
    return None


def _name_fault(name: object) -> str | None:
    try:
        if isinstance(name, str):
            check_event_name(name)
            return None
    except SlipstreamError:
        pass
    return "an event name that is not allowed"


def _signature_fault(signature: object) -> str | None:
    if signature is None:
        return None
    fits = isinstance(signature, str) and signature.isascii() and signature.isprintable()
    return None if fits and len(str(signature)) <= SIGNATURE_MAX else "a signature that is not one line of ASCII"
