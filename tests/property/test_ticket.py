"""Whatever stands in the URL: it is opened or refused, and only what was sealed is opened."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from slipstream.auth.ticket import LIFE, SKEW, Sealed, Ticket, new_key, seal
from slipstream.protocol.errors import Code, SlipstreamError

NOW = 1_795_537_000
KEY = new_key()
GOOD = seal(KEY, bytes(16), "head.payload.signature", NOW + 60, NOW)

alphabet = st.text("ABCDefgh0189-_", max_size=400)
framed = st.builds(
    lambda at, rest: base64.urlsafe_b64encode(b"\x80" + at.to_bytes(8, "big") + rest).decode().rstrip("="),
    st.one_of(st.integers(NOW - LIFE, NOW + SKEW), st.integers(0, 2**64 - 1)),
    st.binary(max_size=300),
)


def opened(text: str, now: float = NOW) -> Ticket | None:
    """None where it is refused; everything else that is raised fails the test."""
    try:
        return Sealed.parse(text, now).open(KEY, now)
    except SlipstreamError as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
        return None


@given(st.one_of(st.text(max_size=400), alphabet, framed))
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    assert opened(text) is None


@given(st.integers(0, len(GOOD) - 2), st.sampled_from("ABCxyz019-_"))
def test_a_ticket_that_was_changed_is_refused(place: int, put: str) -> None:
    text = GOOD[:place] + put + GOOD[place + 1 :]
    assert (opened(text) is None) == (text != GOOD)


@given(st.integers(1, len(GOOD)))
def test_a_ticket_that_was_cut_is_refused(length: int) -> None:
    assert opened(GOOD[:-length]) is None
    assert opened(GOOD[length:]) is None


@given(
    st.binary(min_size=16, max_size=16),
    st.text("abcXYZ019_-.", min_size=1, max_size=4_000),
    st.integers(0, 2**40),
    st.floats(0, 2**33),
    st.floats(-2 * SKEW, 2 * LIFE),
)
def test_what_was_sealed_is_opened_while_it_is_good(
    ticket_id: bytes, token: str, ends: int, made: float, age: float
) -> None:
    text = seal(KEY, ticket_id, token, ends, made)
    found = opened(text, made + age)
    # Whole seconds are what stands in a ticket.
    if 1 - SKEW <= age <= LIFE - 1:
        assert found == Ticket(ticket_id.hex(), token, ends)
    elif age > LIFE + 1 or age < -SKEW - 1:
        assert found is None
