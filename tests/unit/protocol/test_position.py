import pytest

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.position import Position, format_id, mark_of, time_near

EPOCH = "k3x9q0ab"
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (f"{EPOCH}-0", Position(EPOCH, 0)),
        (f"{EPOCH}-1042", Position(EPOCH, 1042)),
        (f"{EPOCH}-1042-0", Position(EPOCH, 1042, 0)),
        (f"{EPOCH}-1042-zz", Position(EPOCH, 1042, 1295)),
        (f"{EPOCH}-1042-1z141z3", Position(EPOCH, 1042, 2**32 - 1)),
        (f"{EPOCH}-18446744073709551615", Position(EPOCH, 2**64 - 1)),
        ("00000000-7-a", Position("00000000", 7, 10)),
    ],
)
def test_an_id_without_a_key_is_the_canonical_text_of_its_position(text: str, position: Position) -> None:
    assert Position.parse(text) == position
    assert str(position) == text
    assert f"{position}" == text


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (f"{EPOCH}-7.order-1.2_x", Position(EPOCH, 7)),
        (f"{EPOCH}-7-a.9", Position(EPOCH, 7, 10)),
        (f"{EPOCH}-7..", Position(EPOCH, 7)),
        (f"{EPOCH}-7.{'k' * (128 - 11)}", Position(EPOCH, 7)),
    ],
)
def test_a_key_is_ignored(text: str, position: Position) -> None:
    assert Position.parse(text) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1042",
        EPOCH,
        f"{EPOCH}-",
        f"{EPOCH}-x",
        f"{EPOCH}-01",
        f"{EPOCH}-00",
        f"{EPOCH}--1",
        f"{EPOCH}-+1",
        f"{EPOCH}-1_0",
        f"{EPOCH}-\u0661",
        f"{EPOCH}-18446744073709551616",
        f"{EPOCH}-99999999999999999999",
        f"{EPOCH}-1-",
        f"{EPOCH}-1-A",
        f"{EPOCH}-1-0a",
        f"{EPOCH}-1-1z141z4",
        f"{EPOCH}-1-zzzzzzz",
        f"{EPOCH}-1-a-b",
        f"{EPOCH}-1.",
        f"{EPOCH}-1.a/b",
        f"{EPOCH}-1.é",
        f"{EPOCH}-1\n",
        f" {EPOCH}-1",
        f"{EPOCH}-1\0",
        f"{EPOCH[:-1]}-1",
        f"{EPOCH}a-1",
        f"{EPOCH.upper()}-1",
        f"{EPOCH}-7.{'k' * (129 - 11)}",
        "x" * 100_000,
    ],
)
def test_a_malformed_id_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(SlipstreamError) as caught:
        Position.parse(text)
    assert caught.value.code is Code.BAD_REQUEST
    assert "send the id of the last event as it was received" in caught.value.message
    assert len(caught.value.message) < 300


def test_positions_are_equal_by_value() -> None:
    assert Position(EPOCH, 7, None) != Position(EPOCH, 7, 0)
    assert len({Position(EPOCH, 7), Position(EPOCH, 7)}) == 1


def test_a_mark_is_the_low_32_bits_of_the_time() -> None:
    assert mark_of(0) == 0
    assert mark_of(2**32 - 1) == 2**32 - 1
    assert mark_of(2**32) == 0
    assert mark_of(1_764_000_000_000) == 1_764_000_000_000 % 2**32


@pytest.mark.parametrize("away", [0, 1, -1, 24 * DAY_MS, -24 * DAY_MS, 2**31 - 1, -(2**31)])
def test_the_time_of_a_mark_is_found_near_now(away: int) -> None:
    now = 1_764_000_000_000
    assert time_near(mark_of(now + away), now) == now + away


def test_an_event_id_is_its_position_and_key() -> None:
    assert format_id(EPOCH, 1042, 1_764_000_000_000) == f"{EPOCH}-1042-1envh8g"
    assert format_id(EPOCH, 1, 5) == f"{EPOCH}-1-5"
    assert format_id(EPOCH, 1, 0, "order-1.x_Y") == f"{EPOCH}-1-0.order-1.x_Y"
    assert format_id(EPOCH, 1, 0, "") == f"{EPOCH}-1-0"


@pytest.mark.parametrize("mark", [0, 1, 35, 36, 1295, 1296, 1297, 46655, 46656, 36**6 - 1, 36**6, 2**32 - 1])
def test_every_length_of_mark_is_canonical(mark: int) -> None:
    text = format_id(EPOCH, 1, 2**40 + mark)
    assert text == str(Position(EPOCH, 1, mark))
    assert int(text.rpartition("-")[2], 36) == mark
    assert Position.parse(text) == Position(EPOCH, 1, mark)


@pytest.mark.parametrize("key", ["a b", "order:1", "é", "a\r\nb", "a\0", "k" * 256], ids=ascii)
def test_a_key_that_an_id_cannot_carry_is_left_out(key: str) -> None:
    assert format_id(EPOCH, 7, 36, key) == f"{EPOCH}-7-10"


def test_an_id_is_filled_to_128_characters_and_no_further() -> None:
    room = 128 - len(f"{EPOCH}-7-10.")
    assert len(format_id(EPOCH, 7, 36, "k" * room)) == 128
    assert format_id(EPOCH, 7, 36, "k" * (room + 1)) == f"{EPOCH}-7-10"
