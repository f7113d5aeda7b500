"""Names that are alike, whatever they look like."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.tenants.fold import _FOLDED, _KNOWN_MAX, fold, plain


@pytest.mark.parametrize(
    "spelling",
    [
        "phoneno",
        "phone_no",
        "Phone-No",
        "PHONE NO",
        "phone\u3000no",
        "phone\u2010no",
        "phone\u2028no",
        "phone\u2029no",
        "phone\tno",
        "pho\u200bne\u00adno",
        "\uff30\uff48\uff4f\uff4e\uff45\uff3f\uff2e\uff4f",
        "\U0001d429hone no",
        "phonen\u00f6",
    ],
)
def test_spellings_of_one_name(spelling: str) -> None:
    assert fold(spelling) == "phoneno"


def test_what_one_step_of_folding_uncovers_the_next_one_takes() -> None:
    assert fold("\u3385") == fold("kb")  # one sign, KB in its plain form
    assert fold("caf\u0065\u200d\u0301") == fold("caf\u00e9")  # an accent, kept apart by what cannot be seen


@pytest.mark.parametrize("other", ["phone", "phonen\u00f8", "phone.no", "phone/no", "phone+no"])
def test_names_that_differ(other: str) -> None:
    assert fold(other) != "phoneno"


@given(st.text(max_size=20))
def test_folding_twice_is_folding_once(name: str) -> None:
    assert fold(fold(name)) == fold(name)
    assert fold(name.upper()) == fold(name.upper().lower())
    assert fold(unicodedata.normalize("NFD", name)) == fold(unicodedata.normalize("NFC", name))


@given(st.text(max_size=20))
def test_plain_text_is_the_decomposed_one_but_for_the_order_of_marks(text: str) -> None:
    assert sorted(plain(text)) == sorted(unicodedata.normalize("NFKD", text))


def test_a_name_of_nothing_but_marks_takes_no_longer_than_others() -> None:
    # Normalised as a whole, each of these would take minutes, and the time limit of a test would end it.
    marks = "a" + "\u0301" * 200_000 + "\u0316" * 200_000
    assert fold(marks) == "a"
    assert len(plain(marks)) == 400_001


def test_rare_characters_are_not_all_remembered() -> None:
    everything = "".join(map(chr, range(0x30000)))
    folded = fold(everything)
    assert fold(folded) == folded
    assert len(_FOLDED) == _KNOWN_MAX
