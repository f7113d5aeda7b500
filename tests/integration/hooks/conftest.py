"""For every test here: the package with hooks is installed, and no child is left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hooks.package import install


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No child, zombie or not, and no descriptor more than before."""
    before = descriptors()
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    # libuv keeps the pipe by which it hears of signals as long as the process lives.
    assert descriptors() <= before + 2 * ("uvloop" in request.node.name)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
