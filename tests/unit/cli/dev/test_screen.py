"""What people see, without a terminal: plain lines, and nothing of others read as markup."""

import io

import pytest
from rich.console import Console

from slipstream.cli.dev.dashboard import streams_in
from slipstream.cli.dev.screen import Screen


def screen_on(width: int = 80) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(Console(file=out, width=width, highlight=False)), out


def test_a_step_tells_its_result() -> None:
    screen, out = screen_on()
    with screen.step("Doing") as step:
        step.result = f"Done in [bold]{'x' * 100}[/bold]"
    assert out.getvalue() == f" ✓ Done in [bold]{'x' * 100}[/bold]\n"


def test_a_step_that_fails_tells_what_it_was() -> None:
    screen, out = screen_on()
    with pytest.raises(ValueError, match="no"), screen.step("Doing"):
        raise ValueError("no")
    assert out.getvalue() == " ✗ Doing\n"


def test_a_fault_comes_with_the_end_of_the_log() -> None:
    screen, out = screen_on()
    screen.bad("edge-1 ended", ["[red]one[/red]", "two"])
    first, *rest = out.getvalue().splitlines()
    assert first.startswith(" ✗ ")
    assert first.endswith(" edge-1 ended")
    assert rest == ["     │ [red]one[/red]", "     │ two"]


def test_a_poor_encoding_is_no_fault() -> None:
    raw = io.BytesIO()
    screen = Screen(Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80))
    with screen.step("Doing"):
        pass
    screen.console.file.flush()
    assert raw.getvalue() == b" ? Doing\n"


@pytest.mark.parametrize(
    ("answer", "count"),
    [((200, b'{"connections": 7}'), 7), (None, 0), ((500, b"oops"), 0), ((200, b"[]"), 0), ((200, b"{}"), 0)],
)
def test_streams_of_an_edge(answer: tuple[int, bytes] | None, count: int) -> None:
    assert streams_in(answer) == count
