"""What each mask leaves of a value."""

import hashlib
import hmac

import pytest

from slipstream.shape.mask import HIDDEN, email, id_card, keyed_hash, phone, redact


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("13812341234", "138****1234"),
        ("１３８１２３４１２３４", "138****1234"),  # noqa: RUF001 - full-width digits
        (" 13812341234\n", "138****1234"),
        ("138 1234 1234", "138 **** 1234"),
        ("+86 138-1234-1234", "+86 1**-****-1234"),
        ("(0044) 20 7946 0958", "(004*) ** **** 0958"),
        ("1381234123", HIDDEN),  # three hidden digits can be tried out
        ("1234567", HIDDEN),
        ("", HIDDEN),
        ("call 13812341234", HIDDEN),
        ("138x12341234", HIDDEN),
        ("13812341234,13912341234", HIDDEN),
        ("-" * 20, HIDDEN),
        ("١٣٨١٢٣٤١٢٣٤", HIDDEN),  # Arabic-Indic digits have no narrow form
    ],
)
def test_a_phone_number_keeps_3_and_4(value: str, shown: str) -> None:
    assert phone(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("110101199003071234", "110101********1234"),
        ("11010119900307123X", "110101********123X"),
        ("１１０１０１１９９００３０７１２３Ｘ", "110101********123X"),  # noqa: RUF001 - full-width
        ("110101 19900307 1234", "110101 ******** 1234"),
        ("110101900307123", "110101*****7123"),
        ("1101011990030", HIDDEN),
        ("110101199003071234/2", HIDDEN),
        ("", HIDDEN),
    ],
)
def test_an_id_card_keeps_6_and_4(value: str, shown: str) -> None:
    assert id_card(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("anna@example.com", "a***@example.com"),
        ("anna＠example.com", "a***@example.com"),  # noqa: RUF001 - full-width
        ("Anna.Lee+x@mail.example.com", "A***@mail.example.com"),
        ("a@example.com", HIDDEN),
        ("@example.com", HIDDEN),
        ("anna@", HIDDEN),
        ("anna", HIDDEN),
        ("anna@x@example.com", HIDDEN),
        ("Anna Lee <anna@example.com>", HIDDEN),
        ("anna@example.com, bob@example.com", HIDDEN),
        ("x" * 70 + "@example.com", HIDDEN),
    ],
)
def test_an_email_keeps_a_letter_and_the_domain(value: str, shown: str) -> None:
    assert email(value) == shown


def test_redact_keeps_nothing_not_even_the_length() -> None:
    assert redact("") == redact("x" * 99) == HIDDEN


def test_a_hash_is_hmac_sha256_of_the_normalised_value() -> None:
    secret = b"s" * 32
    mask = keyed_hash(secret)
    assert mask("13812341234") == hmac.new(secret, b"13812341234", hashlib.sha256).hexdigest()[:32]
    assert mask("１３８１２３４１２３４") == mask(" 13812341234 ") == mask("13812341234")  # noqa: RUF001 - full-width
    assert mask("13812341235") != mask("13812341234") != keyed_hash(b"t" * 32)("13812341234")
    assert len(mask("\ud800")) == 32
