"""How long a feed waits for its consumer."""

from slipstream.jetstream.feed import patience


def test_the_first_consumer_may_have_been_given_to_a_dead_node_and_is_not_waited_for_long() -> None:
    assert patience(0, 1, 3.0) < 0.6


def test_where_all_are_slow_each_is_waited_for_longer_up_to_the_deadline_of_a_request() -> None:
    waits = [patience(unmade, 0, 3.0) for unmade in range(6)]
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert patience(1_000_000, 0, 3.0) == 3.0
    assert patience(0, 0, 0.2) == 0.2


def test_a_thousand_that_begin_together_are_no_sign_of_a_dead_node() -> None:
    waits = [patience(0, ahead, 3.0) for ahead in range(0, 1_001, 100)]
    assert waits == sorted(waits)
    assert waits[1] < 1.0
    assert waits[-1] == 3.0
