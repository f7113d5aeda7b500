"""A child process: its readiness, its end, and the end of its log."""

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from slipstream.cli.dev.child import Child, ending
from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.folder import Folder
from tests.servers import wait_until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Child]]:
    folder = Folder(tmp_path)
    folder.open()
    made: list[Child] = []

    def child(code: str, serves: Callable[[], Awaitable[bool]] = yes) -> Child:
        made.append(Child("probe", [sys.executable, "-c", code], serves, folder))
        return made[-1]

    yield child
    for one in made:
        one.kill()
        await one.wait()
    folder.close()


async def logged(child: Child, text: str) -> None:
    async def found() -> bool:
        return text in "".join(child.last_lines())

    await wait_until(found, seconds=20, what=f"{text} in the log")


async def test_one_that_ends_before_it_serves_is_told_with_its_last_words(make: Callable[..., Child]) -> None:
    child = make("print('one'); raise SystemExit('no such file: x')", no)
    await child.start()
    with pytest.raises(DevError, match="probe ended with status 1 before it served") as caught:
        await child.wait_ready(20)
    assert caught.value.lines == ("one", "no such file: x")


async def test_one_that_never_serves_is_told(make: Callable[..., Child]) -> None:
    child = make("import time; time.sleep(60)", no)
    await child.start()
    with pytest.raises(DevError, match=r"probe does not serve after 0\.2 s"):
        await child.wait_ready(0.2)
    assert child.alive


async def test_what_does_not_exist_cannot_be_started(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.open()
    with pytest.raises(DevError, match="probe cannot be started"):
        await Child("probe", ["/no/such/program"], yes, folder).start()
    folder.close()


async def test_one_that_is_deaf_to_sigterm_is_killed(make: Callable[..., Child]) -> None:
    child = make(DEAF)
    await child.start()
    await logged(child, "deaf")
    await child.stop(0.2)
    assert await child.wait() == -signal.SIGKILL
    assert not child.alive


async def test_it_has_a_session_of_its_own_so_that_the_terminals_signals_pass_it_by(make: Callable[..., Child]) -> None:
    child = make("import os, time; print(os.getsid(0) == os.getpid(), flush=True); time.sleep(60)")
    await child.start()
    await logged(child, "True")


async def test_a_second_life_goes_on_in_the_same_log(make: Callable[..., Child]) -> None:
    child = make("print('life')")
    for _ in range(2):
        await child.start()
        assert await child.wait() == 0
    assert child.last_lines() == ["life", "life"]
    assert child.starts == 2


async def test_only_the_last_lines_are_told(make: Callable[..., Child]) -> None:
    child = make("print('\\n'.join(map(str, range(10_000))))")
    await child.start()
    await child.wait()
    assert child.last_lines() == [str(number) for number in range(9_988, 10_000)]


async def test_stopping_what_has_ended_or_never_began_is_no_error(make: Callable[..., Child]) -> None:
    child = make("pass")
    await child.stop(1)
    await child.start()
    await child.wait()
    await child.stop(1)


def test_an_ending_in_words() -> None:
    assert ending(0) == "ended with status 0"
    assert ending(-9) == "was killed by SIGKILL"
    assert ending(-99) == "was killed by signal 99"
