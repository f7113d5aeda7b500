"""How a command ends: its exit status and its one line of error."""

import sys
from enum import IntEnum
from typing import Final, NoReturn

import typer

EPILOG: Final = (
    "Exit status: 0 done; 1 refused, unreachable or not found; 2 the command line, a setting, a document or an event is"
    " wrong; 3 the server broke the order of events (tail); 130 interrupted."
)


class Status(IntEnum):
    """Exit statuses. 130 (interrupted) is the shell's convention for SIGINT."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    BROKEN = 3
    INTERRUPTED = 130


def fail(message: str, status: Status = Status.FAILED) -> NoReturn:
    """Write `slipstream: <message>` to stderr and end the command by raising typer.Exit."""
    sys.stdout.flush()
    sys.stderr.write(f"slipstream: {message}\n")
    raise typer.Exit(status)
