"""One id per scope and producer's id, the same on every pod and in every release."""

import pytest

from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.protocol.message_id import LENGTH, message_id


@pytest.mark.parametrize(
    ("scope", "id_", "expected"),
    [
        # printf '%s\0%s' SCOPE ID | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | cut -c-22
        ("orders.new", "7", "pK2g9lWMierObT23bTrsH9"),
        ("https://shop.example/eu", "A-1", "z8LoSl3r14OcCNL3DNwS5l"),
        ("orders", "Straße 東京", "7JQwUGWXKyClGmUQD5a6Sk"),
    ],
)
def test_is_what_anyone_can_compute(scope: str, id_: str, expected: str) -> None:
    assert message_id(scope, id_) == expected


def test_fits_a_header_and_has_its_length() -> None:
    found = {message_id("orders", str(number)) for number in range(2_000)}
    assert len(found) == 2_000
    assert {len(one) for one in found} == {LENGTH}
    assert set("".join(found)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_scope_and_the_id_do_not_run_into_one_another() -> None:
    assert message_id("ab", "c") != message_id("a", "bc")


@pytest.mark.parametrize(
    ("scope", "id_", "says"),
    [
        ("orders", "", "leave it out"),
        ("a\0b", "c", "NUL"),
        ("orders", "\udc80", "surrogate"),
        ("\ud800", "1", "surrogate"),
    ],
)
def test_refuses_what_would_confuse_two_events(scope: str, id_: str, says: str) -> None:
    with pytest.raises(SlipstreamError, match=says) as caught:
        message_id(scope, id_)
    assert caught.value.code is Code.BAD_REQUEST
