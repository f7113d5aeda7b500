"""The chain: in order, stopped by the first None, and closed to whatever is no answer."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from slipstream.shape.chain import DATA_MAX, SIGNATURE_MAX, Link, make_chain, run
from slipstream.shape.event import Context, Dropped, Event, Hook, SecretMissing, Withheld
from slipstream.tenants.shaping import HookSpec

EVENT = Event("abcdefgh-7-0", "orders.new", "paid", 7, b'{"secret":"tuna"}')


def link(answer: Callable[[Event], object], name: str = "audit") -> Link:
    return Link(name, cast("Hook", answer))


def appending(text: bytes) -> Link:
    return link(lambda event: event._replace(data=event.data + text), text.decode())


def test_hooks_run_in_their_order_on_what_the_one_before_answered() -> None:
    outcome = run([appending(b"a"), link(lambda event: event), appending(b"b")], EVENT)
    assert outcome == EVENT._replace(data=EVENT.data + b"ab")


def test_an_empty_chain_is_the_event_itself() -> None:
    assert run([], EVENT) is EVENT


def test_after_none_no_hook_is_asked() -> None:
    def never(_event: Event) -> Event:
        raise AssertionError

    assert run([link(lambda _: None), link(never)], EVENT) == Dropped()


def test_a_hook_may_change_data_name_and_signature() -> None:
    changed = EVENT._replace(data="ü".encode(), event="", signature="k1:00")
    assert run([link(lambda _: changed)], EVENT) == changed


def broken(_event: Event) -> Event:
    raise ValueError(f"cannot read {EVENT.data!r}")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (broken, "raised ValueError"),
        (lambda _: "tuna", "answered str, not an Event or None"),
        (tuple, "answered tuple, not an Event or None"),
        (lambda _: False, "answered bool, not an Event or None"),
        (lambda event: event._replace(id="abcdefgh-8-0"), "answered an event with another id, topic or time"),
        (lambda event: event._replace(topic="orders.old"), "answered an event with another id, topic or time"),
        (lambda event: event._replace(time_ms=8), "answered an event with another id, topic or time"),
        (lambda event: event._replace(data="tuna"), "answered data that are not bytes"),
        (lambda event: event._replace(data=bytearray(b"tuna")), "answered data that are not bytes"),
        (lambda event: event._replace(data=b"tuna\xff"), "answered data that are not UTF-8"),
        (lambda event: event._replace(data=bytes(DATA_MAX + 1)), f"answered more than {DATA_MAX} bytes of data"),
        (lambda event: event._replace(event="stream.gap"), "answered an event name that is not allowed"),
        (lambda event: event._replace(event="a\nid: 7"), "answered an event name that is not allowed"),
        (lambda event: event._replace(event=None), "answered an event name that is not allowed"),
        (lambda event: event._replace(signature="a\nid: 7"), "answered a signature that is not one line of ASCII"),
        (lambda event: event._replace(signature="ü"), "answered a signature that is not one line of ASCII"),
        (lambda event: event._replace(signature=b"a"), "answered a signature that is not one line of ASCII"),
        (
            lambda event: event._replace(signature="a" * (SIGNATURE_MAX + 1)),
            "answered a signature that is not one line of ASCII",
        ),
    ],
)
def test_whatever_is_no_answer_is_withheld_by_the_name_of_the_hook(
    answer: Callable[[Event], object], reason: str
) -> None:
    outcome = run([link(answer), link(lambda event: event)], EVENT)
    assert outcome == Withheld(f"the hook audit {reason}")
    assert "tuna" not in outcome.reason


def test_a_chain_is_made_in_order_and_every_fault_is_told() -> None:
    def good(context: Context) -> Hook:
        assert (context.tenant, context.secret("here")) == ("acme", b"s")
        return lambda event: event._replace(event=context.config["name"])

    def faulty(context: Context) -> Hook:
        context.secret("gone")
        raise AssertionError

    def refusing(_context: Context) -> Hook:
        raise ValueError("config.when: it is missing")

    def crashing(_context: Context) -> Hook:
        raise ZeroDivisionError("division by zero")

    def secret(name: str) -> bytes:
        if name == "gone":
            raise SecretMissing("put the secret gone where it belongs")
        return b"s"

    factories: dict[str, Any] = {"good": good, "faulty": faulty, "refusing": refusing, "crashing": crashing}
    specs = [
        HookSpec(name=name, config={"name": name + str(place)})
        for place, name in enumerate(["good", "faulty", "good", "refusing", "crashing", "unknown"])
    ]
    chain = make_chain("acme", specs, secret, factories)
    assert [each.name for each in chain.links] == ["good", "good"]
    assert run(chain.links, EVENT) == EVENT._replace(event="good2")
    assert chain.faults == (
        "hook faulty: put the secret gone where it belongs",
        "hook refusing: config.when: it is missing",
        "hook crashing: its factory raised ZeroDivisionError: division by zero",
        "hook unknown: no package has it; install the one that does (there are: crashing, faulty, good, refusing)",
    )
