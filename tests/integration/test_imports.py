"""Modules stand alone."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import slipstream

# Each module is imported as if it were the first: what it forgets to import, or imports in a circle, shows only then.
# Other people's packages stay loaded, or sixty imports would take a minute.
ALONE = """
import gc, importlib, sys, traceback, warnings
gc.disable()  # a third of the time; without it this takes 300 MB
failed = False
for name in sys.argv[1:]:
    for loaded in [one for one in sys.modules if one.partition(".")[0] == "slipstream"]:
        del sys.modules[loaded]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            importlib.import_module(name)
    except Exception:
        failed = True
        print(f"--- {name}", *traceback.format_exc().splitlines()[-3:], sep="\\n")
sys.exit(failed)
"""


@pytest.mark.timeout(200)
def test_every_module_imports_alone_without_warnings(tmp_path: Path) -> None:
    names = [found.name for found in pkgutil.walk_packages(slipstream.__path__, "slipstream.")]
    modules = [name for name in names if not name.endswith("__main__")]
    assert len(modules) > 30
    # Each is compiled once, although it is imported again with most of the others.
    command = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", ALONE, *modules]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
