"""Hooks as a user's package might have them: what they do wrong, they do when the event's name says so."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from slipstream.shape.event import Context, Event, Hook


def obeying(context: Context) -> Hook:  # noqa: C901 - a list of misdeeds
    """Upper case, and what the event's name says.

    `config`: `pause`, seconds that every event takes; `gate`, a file without which none gets anywhere.
    """
    pause = float(context.config.get("pause", 0.0))
    gate = Path(context.config.get("gate", "/"))

    def obey(event: Event) -> Event | None:  # noqa: C901, PLR0912
        time.sleep(pause)
        while not gate.exists():
            time.sleep(0.001)
        answer: Any = event._replace(data=event.data.upper())
        match event.event:
            case "raise":
                raise ValueError(f"the data is {event.data!r}")
            case "sleep":
                time.sleep(60.0)
            case "spin":
                while True:
                    pass
            case "exit":
                sys.exit(3)
            case "die":
                os._exit(3)
            case "print":
                print("loud " * 10_000)  # noqa: T201
                sys.stdout.flush()
            case "nonsense":
                answer = 42
            case "not-utf8":
                answer = event._replace(data=b"\xff")
            case "bad-name":
                answer = event._replace(event="two\nlines")
            case "not-bytes":
                answer = event._replace(data=object())  # type: ignore[arg-type]
            case "allocate":
                everything = []
                while True:
                    everything.append(bytearray(16 * 1024 * 1024))
            case "garbage":
                _write_to_every_pipe(b"nonsense" * 8)
            case "flood":
                _write_to_every_pipe(b"\x00\x00\x00\x02\x7f\xff\xff\xff[]" + b"x" * 1024)
            case "look":
                answer = event._replace(data=repr([*_limits(), sorted(os.environ), sys.argv]).encode())
            case "fork":
                with subprocess.Popen(["sleep", "61"]) as child:
                    Path(context.config["note"]).write_text(str(child.pid))
                    child.wait()
            case "drop":
                return None
        return answer  # type: ignore[no-any-return]

    return obey


def secretive(context: Context) -> Hook:
    """Appends its secret."""
    secret = context.secret(context.config["secret"])
    return lambda event: event._replace(data=event.data + secret)


def refusing(context: Context) -> Hook:
    raise ValueError(f"config.level: {context.config['level']} is no level")


def lingering(context: Context) -> Hook:
    """Its factory ends the process, as a module that cannot be imported may do."""
    os._exit(4)


def _write_to_every_pipe(data: bytes) -> None:
    for path in list(Path("/proc/self/fd").iterdir()):
        try:
            if int(path.name) > 2:
                os.write(int(path.name), data)
        except OSError:
            continue


def _limits() -> list[object]:
    return [resource.getrlimit(one) for one in (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)]
