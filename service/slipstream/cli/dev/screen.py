"""What people see: the steps of the start, what happens to the children, one living line at the foot.

Without a terminal the same, without spinners, colours and the living line.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text


class Step:
    """A step under way. result: what to say when it is done, instead of what was being done."""

    def __init__(self, doing: str) -> None:
        self.result = doing


class Screen:
    """Writes to stdout. Text of others is never read as markup."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        # A terminal with a poor encoding gets question marks, not an exception.
        reconfigure = getattr(self.console.file, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[Step]:
        """Show that something is being done, then whether it was."""
        step = Step(doing)
        waiting = self.console.status(Text(f"{doing} ...")) if self.console.is_terminal else contextlib.nullcontext()
        try:
            with waiting:
                yield step
        except Exception:
            self.console.print(Text.assemble((" ✗ ", "bold red"), doing))
            raise
        self.console.print(Text.assemble((" ✓ ", "bold green"), step.result), soft_wrap=True)

    def good(self, text: str) -> None:
        """Something works again."""
        self._event("✓", "bold green", text)

    def bad(self, text: str, lines: Sequence[str] = ()) -> None:
        """Something broke; lines: the end of its log."""
        self._event("✗", "bold red", text)
        for line in lines:
            self.console.print(Text(f"     │ {line}", "dim"), soft_wrap=True)

    def say(self, text: str | Text = "") -> None:
        """A line; long ones are left to the terminal, so that they can be copied."""
        self.console.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A warning that cannot be overlooked."""
        self.console.print(Panel(Text(text, "bold white on red", justify="center"), style="bold red", expand=True))

    @contextlib.contextmanager
    def living(self, render: Callable[[], RenderableType]) -> Iterator[None]:
        """Keep `render()` at the foot of the terminal while the block runs."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=render, console=self.console, refresh_per_second=4, transient=True):
            yield

    def _event(self, mark: str, style: str, text: str) -> None:
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        self.console.print(Text.assemble((f" {mark} ", style), (f"{clock} ", "dim"), text), soft_wrap=True)
