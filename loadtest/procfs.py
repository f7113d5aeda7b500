"""What the kernel says about a process and about all sockets (proc(5)): the texts are parsed by pure functions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time of a process since its start, in seconds.

    waited: time that its main thread was ready to run and another thread had the core, of whatever process.
    """

    cpu: float
    waited: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.cpu - earlier.cpu, self.waited - earlier.waited)


def usage(pid: int) -> Usage:
    """Processor time of a running process and its threads. Raises FileNotFoundError when it is gone."""
    process = Path(f"/proc/{pid}")
    return Usage(cpu_seconds((process / "stat").read_text()), waited_seconds((process / "schedstat").read_text()))


@dataclass(frozen=True, slots=True)
class Resident:
    """Memory of a process in bytes.

    anonymous: its heap, stacks and what else is no file. pss: that and its share of the files it has mapped, which
    shrinks when another process maps the same ones: to compare two moments, it has to be `anonymous`.
    """

    anonymous: int
    pss: int


def resident(pid: int) -> Resident:
    """Memory of a running process. Raises FileNotFoundError when it is gone."""
    return resident_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text())


def children(pid: int) -> list[int]:
    """The processes that the main thread of a process started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(pid: int) -> int:
    """Open files and sockets of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def slab_memory() -> int:
    """Bytes of the kernel's own objects, of all processes: sockets, files, what epoll keeps, and much else."""
    return slab_bytes(Path("/proc/meminfo").read_text())


def socket_memory() -> int:
    """Bytes in the buffers of all TCP sockets of this network namespace; an empty socket has none."""
    return sockstat_bytes(Path("/proc/net/sockstat").read_text())


def cpu_seconds(stat: str) -> float:
    """User and system time in /proc/PID/stat; the name of the program may hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def waited_seconds(schedstat: str) -> float:
    """The run-queue delay in /proc/PID/schedstat."""
    return int(schedstat.split()[1]) / 1e9


def resident_bytes(smaps_rollup: str) -> Resident:
    """`Anonymous` and `Pss` in /proc/PID/smaps_rollup."""
    return Resident(_kib(smaps_rollup, "Anonymous:"), _kib(smaps_rollup, "Pss:"))


def slab_bytes(meminfo: str) -> int:
    """`Slab` in /proc/meminfo."""
    return _kib(meminfo, "Slab:")


def sockstat_bytes(sockstat: str) -> int:
    """`mem` of TCP in /proc/net/sockstat, which counts pages."""
    for line in sockstat.splitlines():
        name, *fields = line.split()
        if name == "TCP:":
            return int(fields[fields.index("mem") + 1]) * _PAGE
    raise ValueError("sockstat has no TCP line")


def _kib(text: str, name: str) -> int:
    """The value, in bytes, of a line such as `Slab:   1234 kB`."""
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the kernel tells no {name!r}: Linux 4.14 or newer is needed")
