"""The data folder: where events, logs and configurations of one cluster lie, for one cluster at a time."""

import fcntl
import os
from pathlib import Path

from slipstream.cli.dev.faults import DevError


class Folder:
    """Made and locked by `open`.

    The lock is held by this process and by every child that inherits `lock`, so that two nats-servers can never work
    on the same store, even after this process was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.lock = -1
        self._runs: dict[str, int] = {}

    @property
    def logs(self) -> Path:
        """The logs of this run, one file a child."""
        return self.path / "logs"

    def open(self) -> None:
        """Make the folder and lock it. Raises DevError when it cannot be written or another cluster has it."""
        try:
            for path in (self.path, self.logs, self.path / "www", self.path / "jetstream"):
                path.mkdir(parents=True, exist_ok=True)
            (self.path / ".gitignore").write_text("*\n")
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DevError(f"{self.path} cannot be used ({error.strerror}): give --data another folder") from error
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevError(self._taken()) from error
        self.note("slipstream dev", os.getpid())

    def note(self, name: str, pid: int) -> None:
        """Write down who runs here, for whoever finds the folder locked."""
        self._runs[name] = pid
        text = "".join(f"{pid} {name}\n" for name, pid in self._runs.items()).encode()
        os.pwrite(self.lock, text, 0)
        os.ftruncate(self.lock, len(text))

    def close(self) -> None:
        """Give the folder back."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def _taken(self) -> str:
        runs = [line.split(" ", 1) for line in (self.path / "lock").read_text().splitlines()]
        alive = [(int(pid), name) for pid, name in runs if _is_alive(int(pid))]
        who = ", ".join(f"{name} (pid {pid})" for pid, name in alive) or "somebody"
        if any(name == "slipstream dev" for _, name in alive):
            return f"another `slipstream dev` uses {self.path}: stop it, or give --data another folder; it is {who}"
        pids = " ".join(str(pid) for pid, _ in alive)
        return f"an earlier run was killed and left its servers on {self.path}: kill {pids}; they are {who}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
