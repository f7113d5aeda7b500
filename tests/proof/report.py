"""What a person sees: a line while it runs, a table at the end."""

from rich.console import Console
from rich.table import Table

from tests.proof.checker import Verdict
from tests.proof.result import Result


class Progress:
    """One status line on a terminal, else a plain line now and then. Times in seconds."""

    EVERY = 5.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting") if console.is_terminal else None
        self._next = 0.0
        if self._status is not None:
            self._status.start()

    def show(self, elapsed: float, text: str) -> None:
        """Show the state; without a terminal only each 5 s."""
        line = f"{elapsed:5.1f} s  {text}"
        if self._status is not None:
            self._status.update(line)
        elif elapsed >= self._next:
            self._next = elapsed + self.EVERY
            self._console.print(line, highlight=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Take the status line away."""
        if self._status is not None:
            self._status.stop()


def table(result: Result) -> Table:
    """The run's figures; those that must be 0 come last, each with its verdict."""
    view = Table(title=f"proof, seed {result.seed}", show_header=False)
    view.add_column()
    view.add_column(justify="right")
    view.add_column()
    tally, verdict = result.tally, result.verdict
    for name, value, note in (
        ("events acknowledged", result.events, f"{result.retries:,} publishes repeated with the same id"),
        ("clients", result.clients, f"{tally.connects:,} connections"),
        ("deliveries checked", verdict.deliveries, f"of {result.expected:,} expected"),
        ("edge kills", result.edge_kills, f"SIGKILL; and {result.edge_drains} drains by SIGTERM"),
        ("nats kills", result.nats_kills, "SIGKILL"),
        ("cuts by the reader", tally.cuts, f"{tally.resets:,} by RST, {tally.mid_frame:,} inside a frame"),
        ("  of them mid-replay", tally.mid_replay, ""),
        ("cuts by the faults", tally.broken, f"{tally.silences:,} by silence"),
        ("resumes", tally.resumes, ""),
        ("stalls of slow readers", tally.stalls, ""),
        ("passing refusals", tally.refusals.total(), ", ".join(f"{k} {n:,}" for k, n in tally.refusals.items())),
    ):
        view.add_row(name, f"{value:,}", note)
    view.add_section()
    for name, value in zeroes(verdict, result.broken):
        view.add_row(name, f"{value:,}", "[green]ok[/]" if value == 0 else "[red]FAILED[/]")
    return view


def zeroes(verdict: Verdict, broken: int) -> tuple[tuple[str, int], ...]:
    """The figures that must be 0."""
    return (
        ("lost", verdict.lost + broken),
        ("duplicated", verdict.duplicated),
        ("out of order", verdict.out_of_order),
        ("corrupted", verdict.corrupted),
        ("gaps", verdict.gaps),
    )
