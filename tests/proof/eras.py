"""Judges a reader whose log was replaced by another one. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.proof.checker import Delivery, Gap, History, Log, Verdict, judge, place


class Era(NamedTuple):
    """A log until something replaced it as a whole: the stream was made anew, or lost its tail and went on without.

    reasons: by which a reader is told that this era has begun; none for the first. first: the lowest number under which
    something was stored in it: what has a lower one is still that of the era before.
    """

    log: Log
    reasons: tuple[str, ...] = ()
    first: int = 1


def judge_eras(history: History, eras: Sequence[Era]) -> Verdict:
    """The verdict on one who reads everything and saw one log replaced by another.

    What it had not got of an era when it was told of the next is what it was told of. An era that it was not told of is
    one untold loss, and its events are lost; but who had nothing of what was replaced has nothing to be told.
    """
    verdict, at, part = Verdict(), 0, History(history.name, history.filters, history.start)
    for item in history.items:
        following = eras[at + 1] if at + 1 < len(eras) else None
        where = place(item.id)
        if following is None or where is None or not isinstance(item, Gap) or item.reason not in following.reasons:
            part.items.append(item)
            continue
        epoch, had = _reached(part)
        # What both have, up to where it goes on, it must have got before: no gap tells of it.
        part.end = max(had, min(where[1], following.first - 1))
        verdict.add(judge(part, eras[at].log))
        fault = _untrue(item, epoch, part, eras[at], following)
        verdict.told += not fault
        if fault:
            verdict.gaps += 1
            verdict.examples.append(f"{history.name}: gap {item.reason} up to {item.id} after {had}: {fault}")
        at += 1
        start = min(where[1], following.first - 1)
        part = History(history.name, history.filters, start, epoch=where[0], after=where[1])
    while at + 1 < len(eras) and not _had_of(part, eras[at], eras[at + 1]):
        at += 1
    verdict.add(judge(part, eras[at].log))
    for era in eras[at + 1 :]:
        verdict.untold += 1
        verdict.lost += len(era.log.expected(history.filters, era.first - 1))
        verdict.examples.append(f"{history.name}: it was not told {' or '.join(era.reasons)}")
    return verdict


def _reached(part: History) -> tuple[str, int]:
    """The epoch of what it had last, "" if it had nothing, and its highest number."""
    places = [where for item in part.items if (where := place(item.id)) is not None]
    return (places[-1][0] if places else part.epoch), max((seq for _, seq in places), default=part.start)


def _had_of(part: History, before: Era, following: Era) -> bool:
    """Whether it had anything of what was replaced. The other log may have other events under the same numbers."""
    for item in part.items:
        where = place(item.id)
        if where is not None and where[1] >= following.first and isinstance(item, Delivery):
            event = before.log.events.get(where[1])
            if event is not None and event.data == item.data:
                return True
    return False


def _untrue(gap: Gap, epoch: str, part: History, before: Era, following: Era) -> str:
    """What is wrong with a gap that tells of the next era, "" when nothing is."""
    where = place(gap.id)
    if where is None:
        return "its id is malformed"
    if epoch and (gap.reason == "reset") != (where[0] != epoch):
        return "another log has another epoch, and the same log the same"
    if gap.reason != "reset" and not _had_of(part, before, following):
        return "it had nothing of what was lost"
    kept = before.log if where[1] < following.first else following.log
    return "" if kept.marked(gap.id) else f"its mark is not {kept.marks[where[1]]}"
