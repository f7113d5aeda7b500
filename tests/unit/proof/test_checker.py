"""The judge must see every kind of broken promise: each is planted into an otherwise perfect history."""

import pytest

from tests.proof.checker import Delivery, Event, Gap, History, Log, Verdict, judge, matches

FILTERS = ("flights.*.SFO", "quakes.>")
TOPICS = ("flights.LAX.SFO", "flights.SFO.LAX", "quakes.ci.minor", "flights.ORD.SFO", "news.today")
LOG = {seq: Event(TOPICS[seq % 5], "moved", f'{{"n":{seq},"\u00e9":1}}') for seq in range(1, 51)}


def perfect(start: int = 0) -> History:
    items: list[Delivery | Gap] = [delivery(seq) for seq in LOG if seq > start and seq % 5 in (0, 2, 3)]
    return History("reader", FILTERS, start, items)


def delivery(seq: int) -> Delivery:
    return Delivery(f"k3m9x2ab-{seq}-1x", LOG[seq].name, LOG[seq].data)


def verdict(history: History) -> Verdict:
    return judge(history, Log(LOG))


def faults(found: Verdict) -> tuple[int, int, int, int, int]:
    return found.lost, found.duplicated, found.out_of_order, found.corrupted, found.gaps


@pytest.mark.parametrize("start", [0, 17])
def test_a_perfect_history_is_clean(start: int) -> None:
    found = verdict(perfect(start))
    assert found.clean
    assert found.deliveries == len(Log(LOG).expected(FILTERS, start)) > 10
    assert found.examples == []


@pytest.mark.parametrize("at", [0, 7, -1])
def test_a_planted_loss_is_lost(at: int) -> None:
    history = perfect()
    del history.items[at]
    assert faults(verdict(history)) == (1, 0, 0, 0, 0)


def test_nothing_at_all_is_all_lost() -> None:
    assert verdict(History("reader", FILTERS)).lost == 30


@pytest.mark.parametrize(("source", "to"), [(3, 4), (3, 20), (0, 30)])
def test_a_planted_duplicate_is_found_wherever_it_comes(source: int, to: int) -> None:
    history = perfect()
    history.items.insert(to, history.items[source])
    assert faults(verdict(history)) == (0, 1, 0, 0, 0)


def test_a_planted_inversion_is_out_of_order() -> None:
    history = perfect()
    history.items[5], history.items[6] = history.items[6], history.items[5]
    assert faults(verdict(history)) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        delivery(5)._replace(data=LOG[5].data + " "),
        delivery(5)._replace(data=LOG[5].data.replace("\u00e9", "e")),
        delivery(5)._replace(name="message"),
    ],
)
def test_a_wrong_byte_is_corrupted(wrong: Delivery) -> None:
    history = perfect()
    history.items[history.items.index(delivery(5))] = wrong
    assert faults(verdict(history)) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize("id_", ["5", "k3m9x2ab-05", "", "k3m9x2ab-5-1x\n", "other000-5-1x"])
def test_a_malformed_id_or_another_log_is_corrupted_and_its_event_lost(id_: str) -> None:
    history = perfect()
    at = history.items.index(delivery(5))
    history.items[at] = delivery(5)._replace(id=id_)
    assert faults(verdict(history)) == (1, 0, 0, 1, 0)


def test_an_event_of_another_topic_is_corrupted() -> None:
    history = perfect()
    history.items.insert(0, delivery(1))
    assert faults(verdict(history)) == (0, 0, 0, 1, 0)


def test_an_event_that_nobody_published_is_corrupted() -> None:
    history = perfect()
    history.items.append(Delivery("k3m9x2ab-51-1x", "moved", "{}"))
    assert faults(verdict(history)) == (0, 0, 0, 1, 0)


def test_an_event_from_before_the_start_is_corrupted() -> None:
    history = perfect(17)
    history.items.insert(0, delivery(15))
    assert faults(verdict(history)) == (0, 0, 0, 1, 0)


def test_a_told_gap_is_counted_and_what_it_tells_is_not_lost() -> None:
    history = perfect()
    del history.items[6:9]
    history.items.insert(6, Gap("k3m9x2ab-15-1x", "expired"))
    assert faults(verdict(history)) == (0, 0, 0, 0, 1)
    assert not verdict(history).clean


def test_what_lies_beyond_the_told_gap_is_an_untold_loss() -> None:
    history = perfect()
    del history.items[6:9]
    history.items.insert(6, Gap("k3m9x2ab-13-1x", "expired"))
    assert faults(verdict(history)) == (1, 0, 0, 0, 1)


def test_a_gap_told_too_late_excuses_nothing() -> None:
    history = perfect()
    del history.items[6]
    history.items.insert(9, Gap("k3m9x2ab-18-1x", "expired"))
    assert verdict(history).lost == 1


def test_two_readers_must_see_the_same_ids() -> None:
    log = Log(LOG)
    other = perfect()
    at = other.items.index(delivery(10))
    other.items[at] = delivery(10)._replace(id="k3m9x2ab-10-2y")
    assert judge(perfect(), log).clean
    assert faults(judge(other, log)) == (0, 0, 0, 1, 0)


def test_a_topic_that_is_told_is_the_published_one() -> None:
    history = perfect()
    history.items[0] = delivery(2)._replace(topic=LOG[2].topic)
    assert verdict(history).clean
    history.items[0] = delivery(2)._replace(topic=LOG[5].topic)
    assert faults(verdict(history)) == (0, 0, 0, 1, 0)


def test_who_asked_for_the_newest_of_each_topic_is_owed_that_and_all_that_follows() -> None:
    history = perfect()
    history.newest = 30
    newest = [delivery(seq) for seq in (27, 28, 30)]
    history.items = [*newest, *perfect(30).items]
    assert verdict(history).clean
    for missing in (*newest, delivery(32), delivery(50)):
        less = History("reader", FILTERS, items=[one for one in history.items if one != missing], newest=30)
        assert faults(verdict(less)) == (1, 0, 0, 0, 0)
    # What was the newest a moment before, and then all that came.
    history.items[:0] = [delivery(seq) for seq in (23, 25)]
    assert verdict(history).clean


def test_what_comes_in_a_gaps_own_place_is_out_of_order() -> None:
    history = perfect()
    history.items.insert(6, Gap("k3m9x2ab-12-1x", "expired"))
    assert verdict(history).out_of_order == 1


def test_examples_are_bounded_and_counts_are_not() -> None:
    history = perfect()
    history.items = [item for item in history.items for _ in range(3)]
    found = verdict(history)
    assert found.duplicated == 60
    assert len(found.examples) == 5
    assert "flights.*.SFO" in found.examples[0]


def test_verdicts_add_up() -> None:
    total = Verdict()
    for start in (0, 17):
        total.add(verdict(perfect(start)))
    assert total.clean
    assert total.deliveries == 30 + 20


@pytest.mark.parametrize(
    ("pattern", "topic", "wanted"),
    [
        (">", "a", True),
        (">", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "a.b", True),
        ("a.>", "b.a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("*.b", "a.c", False),
        ("*.b.>", "a.b", False),
        ("*.b.>", "a.b.c.d", True),
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("*", "a.b", False),
    ],
)
def test_the_matcher(pattern: str, topic: str, wanted: bool) -> None:  # noqa: FBT001 - a column of the table above
    assert matches((pattern,), topic) is wanted
    assert matches(("nothing.here", pattern), topic) is wanted
