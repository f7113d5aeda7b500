"""Judges a reader whose log was replaced by another one. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.proof.checker import Gap, History, Log, Verdict, judge, place


class Era(NamedTuple):
    """A log until something replaced it as a whole: the stream was made anew, or lost its tail and went on without.

    reasons: by which a reader is told that this era has begun; none for the first. first: the lowest number under which
    something was stored in it.
    """

    log: Log
    reasons: tuple[str, ...] = ()
    first: int = 1


def judge_eras(history: History, eras: Sequence[Era]) -> Verdict:
    """The verdict on a reader who saw one log replaced by another.

    What it had not got of an era when it was told of the next is what it was told of. An era that it was not told of is
    one untold loss, and its events are lost.
    """
    verdict, at, part = Verdict(), 0, History(history.name, history.filters, history.start)
    for item in history.items:
        following = eras[at + 1] if at + 1 < len(eras) else None
        where = place(item.id)
        if following is None or where is None or not isinstance(item, Gap) or item.reason not in following.reasons:
            part.items.append(item)
            continue
        places = [place(one.id) for one in part.items]
        part.end = max((one[1] for one in places if one is not None), default=part.start)
        verdict.add(judge(part, eras[at].log))
        verdict.told += 1
        at += 1
        part = History(history.name, history.filters, min(where[1], following.first - 1))
    verdict.add(judge(part, eras[at].log))
    for era in eras[at + 1 :]:
        verdict.untold += 1
        verdict.lost += len(era.log.expected(history.filters, era.first - 1))
        verdict.examples.append(f"{history.name}: it was not told {' or '.join(era.reasons)}")
    return verdict
