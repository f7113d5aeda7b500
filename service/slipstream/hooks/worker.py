"""The child: `python -m slipstream.hooks.worker` runs one tenant's hooks, one event after the other, until EOF.

It is started by `child.py`, with a clean environment and its plan (secrets included) over standard input. What a hook
prints goes to standard error: the pipes of the protocol are moved out of the way before a hook is loaded. It does not
outlive the edge: standard input ends, and where a hook never returns to see that, its own alarm ends it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import BinaryIO, Final

import orjson

from slipstream.hooks.installed import HOOKS, installed
from slipstream.hooks.wire import LENGTHS, Frame, Plan, answer, asked, pack
from slipstream.shape.chain import Chain, Link, make_chain, run
from slipstream.shape.event import Context, Event, Hook, HookFactory, SecretMissing, Withheld

_DESCRIPTORS: Final = 256
_NICE: Final = 5
_MESSAGE_CHARS: Final = 1_000

_ALARM_BUDGETS: Final = 20
_ALARM_SECONDS: Final = 2.0
"""The edge cuts a hook off at one budget; the alarm, at twenty and two seconds, is for when there is no edge left."""


def main() -> int:
    """Read the plan, make the chain, answer events; 0 at EOF, 1 when the chain cannot be made."""
    requests, answers = _take_pipes()
    with requests, answers:
        frame = read(requests)
        if frame is None:
            return 0
        plan = Plan.unpack(frame.head)
        restrain(plan.memory)
        chain = make(plan, requests, answers)
        if chain.faults:
            answers.write(pack(["fault", "; ".join(chain.faults)[:_MESSAGE_CHARS]]))
            return 1
        answers.write(pack(["ready"]))
        serve(chain.links, plan, requests, answers)
    return 0


def serve(links: Sequence[Link], plan: Plan, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each event in turn until EOF."""
    alarm = plan.budget_ms / 1_000 * _ALARM_BUDGETS + _ALARM_SECONDS
    while (frame := read(requests)) is not None:
        number, event = asked(frame)
        # SIGALRM has no handler: the kernel ends the process, however deep in C the hook is stuck.
        signal.setitimer(signal.ITIMER_REAL, alarm)
        outcome = run(links, event)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if isinstance(outcome, Event) and len(outcome.data) > plan.event_bytes:
            outcome = Withheld(f"the hook chain made more than {plan.event_bytes} bytes of it")
        answers.write(answer(number, event, outcome))


def read(stream: BinaryIO) -> Frame | None:
    """The next frame, None at the end."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    text, data = stream.read(head), stream.read(body)
    return Frame(orjson.loads(text), data) if len(text) == head and len(data) == body else None


def make(plan: Plan, requests: BinaryIO, answers: BinaryIO) -> Chain:
    """The chain; each secret that a factory wants is asked for, so that a child has no other."""
    making = True

    def secret(name: str) -> bytes:
        if not making:
            raise SecretMissing(f"the secret {name} was asked for too late; a hook's factory has to ask for it")
        answers.write(pack(["secret", name]))
        frame = read(requests)
        if frame is None:
            sys.exit(1)
        match frame.head:
            case ["secret"]:
                return frame.body
            case [*_, message]:
                raise SecretMissing(message)
            case _:
                raise SecretMissing(f"the secret {name} was not handed over")

    factories = {name: _factory(entry) for name, entry in installed(HOOKS).items()}
    links, faults = make_chain(plan.tenant, plan.chain, secret, factories)
    making = False
    return Chain(tuple(Link(name, _telling(name, hook)) for name, hook in links), faults)


def restrain(memory: int) -> None:
    """Limit what this process may take: `memory` bytes of address space, descriptors, no core file, less of the CPU."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, most), most))
    os.nice(_NICE)


def _factory(entry: EntryPoint) -> HookFactory:
    """Imported only when it is asked for a hook: one broken package breaks no chain that does without it."""

    def load(context: Context) -> Hook:
        factory: Callable[[Context], Hook] = entry.load()
        return factory(context)

    return load


def _telling(name: str, hook: Hook) -> Hook:
    """The hook, saying on standard error where it raised: never the message, which may have the event's data in it."""

    def call(event: Event) -> Event | None:
        try:
            return hook(event)
        except Exception as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            place = "" if trace is None else f" in {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            sys.stderr.write(f"{name} raised {type(error).__name__}{place}\n")
            raise

    return call


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes that standard input and output are, put where no hook meets them."""
    # Not inherited: a program that a hook starts does not get them.
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


if __name__ == "__main__":
    sys.exit(main())
