"""Where a tail begins."""

import pytest

from slipstream.cli.tail.begin import Begin, parse_from, remembered

NOW = 1_795_521_600.0  # 2026-11-24T12:00:00Z


@pytest.mark.parametrize("text", ["now", "earliest", "last", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00.5+02:00"])
def test_words_and_times_are_the_servers(text: str) -> None:
    assert parse_from(text, NOW) == Begin(since=text)


@pytest.mark.parametrize(
    ("text", "since"), [("90s", "11:58:30"), ("15m", "11:45:00"), ("2h", "10:00:00"), ("0s", "12:00:00")]
)
def test_a_while_ago_is_a_time(text: str, since: str) -> None:
    assert parse_from(text, NOW) == Begin(since=f"2026-11-24T{since}.000+00:00")
    assert parse_from("999999d", NOW) == Begin(since="1970-01-01T00:00:00.000+00:00")


@pytest.mark.parametrize("text", ["k3v9x2ab-7", "k3v9x2ab-7-1z.order-9"])
def test_an_id_is_what_one_goes_on_after(text: str) -> None:
    assert parse_from(text, NOW) == Begin(last_event_id=text)


@pytest.mark.parametrize(
    "text", ["", "seven", "15", "-15m", "15 m", "yesterday", "2026-11-24", "k3v9x2ab-", "EARLIEST"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--from is now, earliest, last"):
        parse_from(text, NOW)


@pytest.mark.parametrize(
    ("bookmark", "saved", "wanted"),
    [
        (None, None, None),
        ("k3v9x2ab-7", None, "k3v9x2ab-7"),
        (None, "k3v9x2ab-7", "k3v9x2ab-7"),
        ("k3v9x2ab-7", "k3v9x2ab-10", "k3v9x2ab-10"),
        ("k3v9x2ab-10", "k3v9x2ab-7", "k3v9x2ab-10"),
        ("k3v9x2ab-7", "zzzzzzzz-10", "k3v9x2ab-7"),
    ],
)
def test_the_later_of_bookmark_and_saved_line_counts(
    bookmark: str | None, saved: str | None, wanted: str | None
) -> None:
    assert remembered(bookmark, saved) == wanted
