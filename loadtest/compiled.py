"""C programs of the load test, compiled when they are needed: nothing binary is in the repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

HINT: Final = "apt-get install gcc libc6-dev"
"""How to install what is needed."""

_SECONDS: Final = 60


class NotCompiled(Exception):
    """There is no C compiler, or it refused; the message says what to do."""


def compiler() -> str | None:
    """The path of the C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc")


def compiled(source: Path, folder: Path, *flags: str) -> Path:
    """The program made of `source`, in `folder`, with optimization. Raises NotCompiled."""
    cc = compiler()
    if cc is None:
        raise NotCompiled(f"{source.name} needs a C compiler: {HINT}")
    made = folder / source.stem
    command = [cc, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *flags, "-o", str(made), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise NotCompiled(f"{source.name} cannot be compiled ({HINT}):\n{done.stderr}")
    return made
