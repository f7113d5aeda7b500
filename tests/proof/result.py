"""The figures of one run."""

from dataclasses import dataclass, field

from tests.proof.checker import Verdict
from tests.proof.reader import Tally


@dataclass(slots=True)
class Result:
    """events: acknowledged by JetStream, both tenants. expected: deliveries that the acknowledgements promise.

    broken: acknowledgements that contradict each other or leave a number out: events that JetStream lost.
    """

    seed: int
    clients: int
    tally: Tally
    verdict: Verdict = field(default_factory=Verdict)
    events: int = 0
    expected: int = 0
    retries: int = 0
    edge_kills: int = 0
    edge_drains: int = 0
    nats_kills: int = 0
    broken: int = 0

    @property
    def passed(self) -> bool:
        """Whether every promise was kept, and something was promised at all."""
        return self.verdict.clean and not self.broken and self.verdict.deliveries == self.expected > 0
