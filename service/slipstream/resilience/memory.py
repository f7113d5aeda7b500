"""Memory before the kernel takes the process away: what is new is refused in time, what is open stays.

The OOM killer ends all streams of a process at once, and all their clients come back together. Refusing at 85 % leaves
room for what those who are in still need.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

_logger = logging.getLogger(__name__)

_SECONDS: Final = 0.5
_SHED: Final = 0.85
_RECOVER: Final = 0.80
_STATM: Final = "/proc/self/statm"
_CGROUP: Final = Path("/sys/fs/cgroup")
_LIMIT_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""cgroup version 2, and 1 (Linux admin guide, cgroup-v2 and cgroup-v1/memory)."""
_UNLIMITED: Final = 1 << 60
"""Version 1 says some 2**63 where there is no limit."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Pressure:
    """Whether to refuse what is new: from 85 % of `limit` (bytes; 0 is none) on, until below 80 %.

    The gap keeps it from changing its mind with every request that it refuses. `sample` is pure; `run` feeds it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.shedding = False

    def sample(self, used: int) -> bool:
        """So many bytes are used now; whether that changed anything."""
        self.used = used
        if not self.limit:
            return False
        before = self.shedding
        self.shedding = used >= self.limit * (_RECOVER if before else _SHED)
        return self.shedding is not before

    def document(self) -> dict[str, object]:
        """For the admin."""
        return {"used": self.used, "limit": self.limit, "shedding": self.shedding}

    async def run(self) -> None:
        """Look every half second, for ever."""
        # Opened once: a process without a free descriptor must not fail here, too.
        statm = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while True:
                if self.sample(resident(statm)):
                    _logger.warning(
                        "memory: %d of %d bytes are used: new streams and publishes are %s",
                        self.used,
                        self.limit,
                        "refused" if self.shedding else "taken again",
                    )
                await asyncio.sleep(_SECONDS)
        finally:
            os.close(statm)


def resident(statm: int) -> int:
    """The bytes of this process that are in memory; the kernel's socket buffers are not among them.

    statm: a descriptor of /proc/self/statm (proc(5)).
    """
    return int(os.pread(statm, 256, 0).split()[1]) * _PAGE


def cgroup_limit(root: Path = _CGROUP) -> int:
    """The memory limit of this process's control group, as its container sees it; 0 where there is none."""
    for name in _LIMIT_FILES:
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _UNLIMITED:
            return int(text)
    return 0
