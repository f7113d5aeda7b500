"""Is a client's position still true? One row for each rule. See also tests/property/test_resume.py."""

import pytest

from slipstream.log.resume import Broken, Check, Continue, Verdict, judge, judge_anchor
from slipstream.log.source import State
from slipstream.protocol.control import Reason
from slipstream.protocol.position import Position, mark_of

NOW = 1_732_000_000_123
MARK = mark_of(NOW)
STREAM = State("epoch000", 100, 200, NOW)
AGED_OUT = State("epoch000", 201, 200, NOW)
NEW = State("epoch000", 1, 0, None)
RESET, AHEAD = Broken(Reason.reset), Broken(Reason.ahead)
REWRITTEN, EXPIRED = Broken(Reason.rewritten), Broken(Reason.expired)


def at(seq: int, mark: int | None = None, epoch: str = "epoch000") -> Position:
    return Position(epoch, seq, mark)


@pytest.mark.parametrize(
    ("position", "state", "verdict"),
    [
        # Another log, whatever the number.
        (at(150, epoch="epoch001"), STREAM, RESET),
        (at(200, MARK, epoch="epoch001"), STREAM, RESET),
        (at(1000, epoch="epoch001"), STREAM, RESET),
        (at(0, epoch="epoch001"), NEW, RESET),
        # Beyond the end.
        (at(201), STREAM, AHEAD),
        (at(201, MARK), STREAM, AHEAD),
        (at(1), NEW, AHEAD),
        (at(201), AGED_OUT, AHEAD),
        # At the end the leader knows the time without a read.
        (at(200), STREAM, Continue()),
        (at(200, MARK), STREAM, Continue()),
        (at(200, MARK - 1), STREAM, REWRITTEN),
        (at(200), AGED_OUT, Continue()),
        (at(200, MARK), AGED_OUT, Continue()),
        (at(200, MARK + 1), AGED_OUT, REWRITTEN),
        (at(200, MARK), STREAM._replace(last_time_ms=None), Continue()),
        # Just before the first retained nothing is missing.
        (at(99), STREAM, Continue()),
        (at(99, 5), STREAM, Continue()),
        (at(0), NEW, Continue()),
        (at(0), STREAM._replace(first_seq=1), Continue()),
        # Before that something may be.
        (at(98), STREAM, EXPIRED),
        (at(0), STREAM, EXPIRED),
        (at(199), AGED_OUT, EXPIRED),
        # In between the event itself has to be read.
        (at(100), STREAM, Check(100)),
        (at(199, 5), STREAM, Check(199)),
    ],
)
def test_what_the_state_alone_says(position: Position, state: State, verdict: Verdict) -> None:
    found = judge(position, state)
    assert found == verdict
    assert type(found) is type(verdict)


@pytest.mark.parametrize(
    ("mark", "time_ms", "verdict"),
    [
        (MARK, NOW, Continue()),
        (None, NOW, Continue()),
        (MARK, NOW + 1, REWRITTEN),
        (MARK, NOW + 2**32, Continue()),
        (MARK, None, REWRITTEN),
        (None, None, REWRITTEN),
        (0, 0, Continue()),
    ],
)
def test_what_the_event_at_the_position_says(mark: int | None, time_ms: int | None, verdict: Verdict) -> None:
    found = judge_anchor(at(150, mark), time_ms)
    assert found == verdict
    assert type(found) is type(verdict)
