"""Text without what only makes it look different: width, case, accents, separators.

Character by character, each by its own compatibility decomposition (UAX 15, NFKD). Normalising a whole text sorts its
combining marks, in CPython in quadratic time: a name of 16,000 marks takes half a second (measured), and would stop
the loop.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

# Separators and what cannot be seen: spaces, dashes, underscores, control and format characters (zero width space).
_SEPARATORS: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Pc", "Cc", "Cf"})
_KNOWN_MAX: Final = 65_536


class _Table(dict[int, str]):
    """A table for `str.translate`, filled as characters are met, and bounded."""

    def __init__(self, made_of: Callable[[str], str]) -> None:
        super().__init__()
        self._made_of = made_of

    def __missing__(self, code: int) -> str:
        text = self._made_of(chr(code))
        if len(self) < _KNOWN_MAX:
            self[code] = text
        return text


def _decomposed(character: str) -> str:
    return unicodedata.normalize("NFKD", character)


def _folded(character: str) -> str:
    # Case folding can uncover what decomposes, and the other way round.
    text = _decomposed(_decomposed(character).casefold()).casefold()
    return "".join(
        each for each in text if not unicodedata.combining(each) and unicodedata.category(each) not in _SEPARATORS
    )


_DECOMPOSED: Final = _Table(_decomposed)
_FOLDED: Final = _Table(_folded)


def plain(text: str) -> str:
    """The text with full-width letters and digits as the plain ones, and accents apart from their letters."""
    return text if text.isascii() else text.translate(_DECOMPOSED)


def fold(name: str) -> str:
    """A name without regard to case, width, accents and separators: `Phone_No`, `phone-no` and `PHONENO` are alike.

    Separators are spaces, dashes, underscores and characters that cannot be seen.
    """
    return name.lower() if name.isascii() and name.isalnum() else name.translate(_FOLDED)
