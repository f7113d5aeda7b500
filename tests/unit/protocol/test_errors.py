import pytest

from slipstream.protocol.errors import CATALOGUE, Code, SlipstreamError, quoted

# Written out by hand from the contract: a client's switch statement depends on each line.
CONTRACT = {
    "SSE_BAD_REQUEST": (400, False),
    "SSE_UNAUTHORIZED": (401, False),
    "SSE_FORBIDDEN": (403, False),
    "SSE_NOT_FOUND": (404, False),
    "SSE_TOKEN_EXPIRED": (401, False),
    "SSE_QUOTA_EXCEEDED": (429, True),
    "SSE_OVERLOADED": (503, True),
    "SSE_SLOW_CONSUMER": (503, True),
    "SSE_TIMEOUT": (503, True),
    "SSE_UPSTREAM_UNAVAILABLE": (503, True),
    "SSE_DRAINING": (503, True),
    "SSE_INTERNAL": (500, True),
    "SSE_HISTORY_EXPIRED": (200, False),
    "SSE_STREAM_RESET": (200, False),
    "SSE_CURSOR_AHEAD": (200, False),
    "SSE_REPLAY_LIMITED": (200, False),
    "SSE_UNDELIVERABLE": (200, False),
    "SSE_WITHHELD": (200, False),
}


def test_the_catalogue_is_the_contract_and_nothing_else() -> None:
    assert {code.value: (entry.status, entry.passing) for code, entry in CATALOGUE.items()} == CONTRACT
    assert set(CATALOGUE) == set(Code)
    assert all(code.value == f"SSE_{code.name}" for code in Code)


@pytest.mark.parametrize("code", Code)
def test_every_entry_has_a_title_and_one_sentence_of_advice(code: Code) -> None:
    entry = CATALOGUE[code]
    assert entry.title
    assert entry.fix.endswith(".")
    assert entry.fix.count(". ") == 0


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE[Code.INTERNAL] = CATALOGUE[Code.TIMEOUT]  # type: ignore[index]


def test_an_error_takes_its_status_from_the_catalogue() -> None:
    error = SlipstreamError(Code.OVERLOADED, "Full. Come back.", retry_after=1.5)
    assert (error.code, error.message, error.status, error.retry_after) == (
        Code.OVERLOADED,
        "Full. Come back.",
        503,
        1.5,
    )
    assert str(error) == "Full. Come back."


def test_an_error_may_have_a_status_of_its_own() -> None:
    assert SlipstreamError(Code.BAD_REQUEST, "Too large.", status=413).status == 413
    assert SlipstreamError(Code.BAD_REQUEST, "Malformed.").retry_after is None


def test_an_error_may_say_what_to_do_where_the_catalogue_does_not_fit() -> None:
    assert SlipstreamError(Code.FORBIDDEN, "No.").fix == CATALOGUE[Code.FORBIDDEN].fix
    assert SlipstreamError(Code.FORBIDDEN, "No.", fix="Ask Ada.").fix == "Ask Ada."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("a\r\nb", r"'a\r\nb'"),
        ("\ud800\u2028\0", r"'\ud800\u2028\x00'"),
        ("x" * 62, "'" + "x" * 62 + "'"),
        ("x" * 63, "'" + "x" * 59 + "...'"),
        ("\0" * 1_000_000, ("'" + r"\x00" * 99)[:60] + "...'"),
    ],
    ids=["empty", "line end", "unprintable", "just fits", "just too long", "long"],
)
def test_untrusted_text_is_shown_short_and_harmless(text: str, shown: str) -> None:
    assert quoted(text) == shown
    assert len(quoted(text)) <= 64
