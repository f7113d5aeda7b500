"""An installed package with hooks: a real entry point on the path of the children."""

import os
from pathlib import Path

import pytest

from tests.servers import REPOSITORY

_ENTRY_POINTS = """[slipstream.hooks]
obey = tests.integration.hooks.foreign:obeying
secret = tests.integration.hooks.foreign:secretive
refuse = tests.integration.hooks.foreign:refusing
linger = tests.integration.hooks.foreign:lingering
lost = tests.integration.hooks.foreign:no_such_thing
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave in `folder` what pip would leave of the package, and have the children find it."""
    metadata = folder / "foreign-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    paths = [str(folder), str(REPOSITORY / "service"), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
