"""Where the processes run."""

from loadtest.machine import split


def test_the_edge_has_a_core_of_its_own_where_there_are_two() -> None:
    cores = split(frozenset({2, 5, 7}))
    assert (cores.edge, cores.others, cores.apart) == (frozenset({2}), frozenset({5, 7}), True)


def test_a_single_core_is_shared_and_said_to_be() -> None:
    cores = split(frozenset({3}))
    assert (cores.edge, cores.others, cores.apart) == (frozenset({3}), frozenset({3}), False)
    assert "not its own" in str(cores)
