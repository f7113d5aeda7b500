"""What a ticket gives away, when it is good, and by whose key."""

import base64

import pytest

from slipstream.auth.ticket import KEY_BYTES, LIFE, SKEW, Sealed, Ticket, day_of, new_key, seal
from slipstream.auth.verify import TOKEN_BYTES
from slipstream.protocol.errors import Code, SlipstreamError
from tests.tokens import claims, rsa_key, token

NOW = 1_795_537_000.7
ID = bytes(range(16))
KEY = new_key()
TOKEN = token(rsa_key(), claims(NOW))
ENDS = int(NOW) + 3600


def sealed(now: float = NOW, text: str = TOKEN) -> str:
    return seal(KEY, ID, text, ENDS, now)


def opened(text: str, now: float = NOW, key: bytes = KEY) -> Ticket:
    return Sealed.parse(text, now).open(key, now)


def refused(text: str, now: float = NOW, key: bytes = KEY) -> str:
    with pytest.raises(SlipstreamError) as caught:
        opened(text, now, key)
    assert caught.value.code is Code.UNAUTHORIZED
    return caught.value.message


def test_what_goes_in_comes_out() -> None:
    assert opened(sealed()) == Ticket(ID.hex(), TOKEN, ENDS)
    assert len(KEY) == KEY_BYTES


def test_nothing_of_the_token_can_be_read_and_nothing_needs_escaping() -> None:
    text = sealed()
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    inside = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for part in TOKEN.split("."):
        for known in (part.encode(), base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))):
            assert known[:12] not in inside
    assert sealed() != text, "the same token twice cannot be told from two"


@pytest.mark.parametrize("age", [0, 1, LIFE - 1, LIFE - 0.5, -SKEW + 1])
def test_it_is_good_for_its_life_and_a_little_ahead_of_our_clock(age: float) -> None:
    assert opened(sealed(NOW - age)).token == TOKEN


@pytest.mark.parametrize("age", [LIFE + 1, LIFE + 2, 86_400, NOW - 1, -SKEW - 1, -SKEW - 2, -86_400])
def test_before_and_after_that_it_is_refused_without_a_key(age: float) -> None:
    text = sealed(NOW - age)
    with pytest.raises(SlipstreamError, match=f"older than {LIFE} s"):
        Sealed.parse(text, NOW)


def test_time_is_looked_at_again_when_it_is_opened() -> None:
    waiting = Sealed.parse(sealed(), NOW)
    with pytest.raises(SlipstreamError):
        waiting.open(KEY, NOW + LIFE + 1)


def test_the_key_is_that_of_the_day_it_was_made_even_over_midnight() -> None:
    midnight = 20_000 * 86_400
    text = sealed(midnight - 2)
    assert Sealed.parse(text, midnight + 10).day == day_of(midnight - 2) == 19_999
    ahead = sealed(midnight + 2)  # by a clock that is ahead of ours
    assert Sealed.parse(ahead, midnight - 1).day == 20_000


def test_another_key_opens_nothing() -> None:
    refused(sealed(), key=new_key())


@pytest.mark.parametrize("place", [3, 12, 40, 200, -1])
def test_one_changed_character_is_seen(place: int) -> None:
    text = sealed()
    put = "B" if text[place] == "A" else "A"
    assert place == -1 or refused(text[:place] + put + text[place:][1:])
    refused(text[:-8] + put * 8)


@pytest.mark.parametrize(
    "text",
    ["", "x", "AAAA", "A" * 1001, TOKEN, "\u00fc" * 200, "gAAA=", " " * 120, "A" * (TOKEN_BYTES * 2), "\udcff" * 100],
)
def test_what_is_no_ticket_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("put", ["!!!!", "    ", "\n\n\n\n"])
@pytest.mark.parametrize("place", [40, None])
def test_what_base64_passes_over_is_not_passed_over(put: str, place: int | None) -> None:
    text = sealed()
    refused(text[:place] + put + (text[place:] if place else ""))


def framed(version: int, size: int) -> str:
    """What begins as a ticket of now."""
    data = bytes([version]) + int(NOW).to_bytes(8, "big") + bytes(size)
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_what_has_not_the_form_of_a_ticket_is_refused_without_a_key() -> None:
    assert Sealed.parse(framed(0x80, 64), NOW).made_at == int(NOW)
    for text in (framed(0x80, 63), framed(0x81, 64), framed(0x80, 2 * TOKEN_BYTES)):
        with pytest.raises(SlipstreamError, match="no ticket"):
            Sealed.parse(text, NOW)


def test_no_refusal_has_anything_of_the_ticket_in_it() -> None:
    text = sealed(NOW - 100)
    assert text[:10] not in refused(text)
    assert TOKEN[:10] not in refused(TOKEN)


def test_the_longest_token_fits() -> None:
    longest = "a" * TOKEN_BYTES
    assert opened(sealed(text=longest)).token == longest
