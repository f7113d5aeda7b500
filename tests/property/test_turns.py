"""Places that tenants share, in any order of coming, leaving and giving up, against what each of them was promised."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slipstream.quotas.turns import Moves, Turns

LIMIT, EACH = 6, 3
HOLDERS = tuple("abcdefghi")  # more than there are places

Question = tuple[str, int]


class Sharing(RuleBasedStateMachine):
    """`inside` is told by the moves alone, so a move that is forgotten is found."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: Turns[Question] = Turns(LIMIT, EACH)
        self.inside: list[Question] = []
        self.outside: list[Question] = []
        self.cut: list[Question] = []
        self.asked = self.lost = 0

    def held(self, holder: str) -> int:
        return sum(1 for name, _ in self.inside if name == holder)

    def follow(self, moves: Moves[Question]) -> None:
        for cut in moves.cut:
            most = max(map(self.held, HOLDERS))
            assert cut == next(one for one in self.inside if self.held(one[0]) == most), "the oldest of who has most"
            self.inside.remove(cut)
            self.cut.append(cut)
            self.lost += 1
        for question in moves.let_in:
            assert question == next(one for one in self.outside if one[0] == question[0]), "in their order"
            self.outside.remove(question)
            self.inside.append(question)

    @rule(holder=st.sampled_from(HOLDERS))
    def ask(self, holder: str) -> None:
        self.asked += 1
        own, question = self.held(holder), (holder, self.asked)
        self.outside.append(question)
        moves = self.turns.ask(holder, question)
        self.follow(moves)
        if not own:
            assert holder in {name for name, _ in moves.let_in}, "who has nothing under way waits for nobody"

    @precondition(lambda self: self.inside)
    @rule(which=st.integers(0, 1_000))
    def answered(self, which: int) -> None:
        question = self.inside[which % len(self.inside)]
        self.inside.remove(question)
        self.follow(self.turns.leave(question[0], question))

    @precondition(lambda self: self.outside)
    @rule(which=st.integers(0, 1_000))
    def given_up(self, which: int) -> None:
        question = self.outside[which % len(self.outside)]
        self.outside.remove(question)
        self.follow(self.turns.leave(question[0], question))

    @precondition(lambda self: self.cut)
    @rule()
    def gone(self) -> None:
        question = self.cut.pop()
        assert self.turns.leave(question[0], question) == Moves(), "its place was given away already"

    @invariant()
    def the_books_are_right(self) -> None:
        assert self.turns.total == len(self.inside) <= LIMIT
        assert self.turns.cut == self.lost
        for holder in HOLDERS:
            assert self.turns.held(holder) == self.held(holder) <= EACH
            assert self.turns.waits(holder) == sum(1 for name, _ in self.outside if name == holder)

    @invariant()
    def nobody_waits_within_its_part(self) -> None:
        part = self.turns.part
        for holder in {name for name, _ in self.outside}:
            # Unless there is less than one place for each.
            assert self.held(holder) >= part or (part == 1 and len(self.inside) == LIMIT)

    @invariant()
    def a_part_is_for_all_and_for_one_more(self) -> None:
        holders = {name for name, _ in self.inside + self.outside}
        assert self.turns.part == 1 or (len(holders) + 1) * self.turns.part <= LIMIT


Sharing.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestSharing = Sharing.TestCase


@pytest.mark.parametrize("slow", [1, 8, 16, 100, 255])
def test_each_tenant_has_its_part_whatever_so_many_others_hold(slow: int) -> None:
    turns: Turns[Question] = Turns(256, 32)
    for number in range(slow):
        for each in range(64):
            turns.ask(f"slow-{number}", (f"slow-{number}", each))
    for each in range(max(1, min(32, 256 // (slow + 2)))):
        assert turns.ask("quick", ("quick", each)).let_in == (("quick", each),)


def test_one_that_comes_and_goes_takes_nothing_from_those_that_stay() -> None:
    """Or a quick one, by asking often, would keep slower ones from ever being answered."""
    turns: Turns[Question] = Turns(256, 32)
    for each in range(64):
        for number in range(16):
            turns.ask(f"slow-{number}", (f"slow-{number}", each))
    settled = turns.cut
    for turn in range(100):
        for each in range(14):
            assert turns.ask("quick", ("quick", each + 14 * turn)).let_in
        for each in range(14):
            turns.leave("quick", ("quick", each + 14 * turn))
    assert turns.cut == settled


def test_with_more_tenants_than_places_who_has_none_takes_that_of_the_one_that_waited_longest() -> None:
    turns: Turns[Question] = Turns(4, 2)
    for number in range(40):
        moves = turns.ask(f"slow-{number}", (f"slow-{number}", 0))
        assert moves.let_in == ((f"slow-{number}", 0),)
        assert moves.cut == (() if number < 4 else ((f"slow-{number - 4}", 0),))


@pytest.mark.parametrize("cutting", [True, False])
def test_who_has_none_waits_for_one_of_each_other_holder_and_not_for_all_that_they_have_in_line(
    *, cutting: bool
) -> None:
    turns: Turns[Question] = Turns(8, 4, cutting=cutting)
    inside: list[Question] = []

    def follow(moves: Moves[Question]) -> None:
        assert cutting or not moves.cut
        inside.extend(moves.let_in)
        for one in moves.cut:
            inside.remove(one)

    for each in range(50):
        for number in range(8):
            follow(turns.ask(f"busy-{number}", (f"busy-{number}", each)))
    follow(turns.ask("late", ("late", 0)))
    ended = 0
    while ("late", 0) not in inside:
        first = inside.pop(0)
        follow(turns.leave(first[0], first))
        ended += 1
    assert ended <= 8 + 1


def test_a_place_that_is_free_is_for_who_has_the_fewest_whoever_came_first() -> None:
    turns: Turns[Question] = Turns(12, 6, cutting=False)
    for holder, places in (("a", 6), ("b", 4), ("c", 1), ("second", 2), ("none", 1)):
        for number in range(places):
            turns.ask(holder, (holder, number))
    assert (turns.total, turns.part) == (12, 2)
    assert [(turns.held(name), turns.waits(name)) for name in ("second", "none")] == [(1, 1), (0, 1)]
    assert turns.leave("a", ("a", 0)).let_in == (("none", 0),)
    assert turns.leave("a", ("a", 1)).let_in == (("second", 1),)


class Looking(Turns[Question]):
    """Counts how often it is asked what somebody holds."""

    looks = 0

    def held(self, holder: object) -> int:
        self.looks += 1
        return super().held(holder)


def test_what_a_move_costs_does_not_grow_with_those_that_wait() -> None:
    """An edge that comes back meets the reads of all tenants at once; sorting 5,000 of them took 4 ms for each read."""
    turns = Looking(8, 4, cutting=False)
    inside = [one for number in range(5_000) for one in turns.ask(str(number), (str(number), 0)).let_in]
    for moves in range(5_000):
        turns.looks = 0
        inside += turns.leave(inside[moves][0], inside[moves]).let_in
        assert turns.looks <= 3 * turns.limit
    assert turns.total == 0


def test_what_is_over_is_not_remembered() -> None:
    turns: Turns[Question] = Turns(2, 1)
    asked = [(holder, number) for holder in HOLDERS for number in range(3)]
    for question in asked:
        turns.ask(question[0], question)
    for question in asked:
        turns.leave(question[0], question)
    assert (turns.total, turns._in, turns._waiting) == (0, {}, {})
