"""The longest time without a beat, of the pauses that touch a fault."""

from tests.faults.pulse import SHORTEST, Pulse, Wait


def beating(*moments: float) -> Pulse:
    pulse = Pulse("one")
    for moment in moments:
        pulse.beat(moment)
    return pulse


def test_steady_beats_make_no_pause() -> None:
    assert beating(*(n * SHORTEST / 2 for n in range(100))).longest(0.0, 3.0) == 0.0


def test_a_pause_counts_whole_when_it_touches_the_time() -> None:
    pulse = beating(0.0, 5.0, 6.0, 6.01)
    assert pulse.longest(4.0, 4.5) == 5.0
    assert pulse.longest(4.9, 6.0) == 5.0
    assert pulse.longest(5.5, 6.0) == 1.0


def test_a_pause_of_another_time_does_not_count() -> None:
    pulse = beating(0.0, 5.0, 5.01, 9.0, 9.01)
    assert pulse.longest(5.005, 9.0) == 9.0 - 5.01
    assert pulse.longest(9.005, 9.01) == 0.0


def test_one_that_lasts_counts_until_now() -> None:
    assert beating(0.0, 0.01).longest(0.005, 4.01) == 4.0
    assert Pulse("never").longest(0.0, 9.0) == 0.0


def test_of_a_pause_the_clients_first_wait_is_its_own_and_no_other() -> None:
    pulse = beating(0.0)
    pulse.waited(1.5, "the edge closed")
    pulse.beat(1.75)
    pulse.waited(1.5, "the edge closed")
    pulse.waited(1.25, "status 503")
    first, second = (*pulse.touching(0.0, 1.7), *pulse.touching(1.8, 5.75))
    assert (first.seconds, first.recovery) == (1.75, 0.25)
    assert first.waits == (Wait(1.5, "the edge closed"),)
    assert (second.seconds, second.recovery) == (4.0, 2.5)
    assert str(second) == "4.0 s in all, waited 1.5 s after: the edge closed, waited 1.2 s after: status 503"


def test_a_wait_between_two_beats_that_are_close_is_no_part_of_the_next_pause() -> None:
    pulse = beating(0.0)
    pulse.waited(0.01, "it ended")
    pulse.beat(0.05)
    pulse.beat(1.05)
    assert [one.waits for one in pulse.pauses] == [()]
