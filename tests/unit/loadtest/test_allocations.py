"""The counter counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import allocations
from loadtest.allocations import Count, saved
from loadtest.compiled import NotCompiled, compiled

SOURCE = Path(allocations.__file__).parent / "baseline" / "count_allocations.c"
MADE = 10_000

CODE = f"""
from itertools import repeat
from loadtest.counted import allocations
before = allocations()
kept = [object() for _ in repeat(None, {MADE})]
print(allocations() - before)
"""


def test_each_object_is_one_allocation(tmp_path: Path) -> None:
    counter = compiled(SOURCE, tmp_path, "-shared", "-fPIC")
    env = {**os.environ, "PYTHONMALLOC": "malloc", "LD_PRELOAD": str(counter)}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
        cwd=SOURCE.parents[2],
    )
    assert MADE <= int(done.stdout) <= MADE + 200


def test_what_is_saved_is_a_share_of_theirs() -> None:
    assert saved(Count("a", 27, 100), Count("b", 100, 100)) == pytest.approx(0.73)
    assert saved(Count("a", 200, 100), Count("b", 100, 100)) == pytest.approx(-1.0)


def test_a_program_that_does_not_compile_is_told_with_the_compilers_words(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int main(void) { return x; }\n")
    with pytest.raises(
        NotCompiled, match=r"broken\.c cannot be compiled \(apt-get install gcc libc6-dev\)(.|\n)*undeclared"
    ):
        compiled(source, tmp_path)
