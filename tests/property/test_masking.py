"""No secret that stands under a masked key leaves, wherever and however it is written; nothing else is changed."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.shape.mask import HIDDEN, email, id_card, keyed_hash, phone, redact
from slipstream.shape.masking import Masker, Unmaskable
from slipstream.tenants.fold import fold

FEW = settings(derandomize=True, deadline=None, max_examples=300, database=None)
HASH = keyed_hash(b"k" * 32)
MASKS = {"phone": phone, "idcard": id_card, "email": email, "pass": redact, "name": HASH}
MASKER = Masker(MASKS)
FULL_WIDTH = {ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"}


@dataclass(frozen=True)
class Planted:
    """A secret, as it stands in the document and as it may be shown."""

    secret: str
    written: Any
    shown: Any


@dataclass(frozen=True)
class Quoted:
    """JSON inside a string."""

    inner: Any
    ascii: bool


class Number(str):
    """A JSON number as it is spelled: equal only to the same spelling."""

    __slots__ = ()


def spellings(name: str) -> st.SearchStrategy[str]:
    """Ways to write a key that all mean this one."""
    letters = st.tuples(
        *(
            st.sampled_from([each, each.upper(), chr(ord(each) + 0xFEE0), chr(ord(each.upper()) + 0xFEE0)])
            for each in name
        )
    )
    between = st.lists(
        st.sampled_from(["", "", "", "_", "-", " ", "\u3000", "\u200b", "_-"]), min_size=len(name), max_size=len(name)
    )
    around = st.sampled_from(["{}", "{}", "user.{}", "{}.home", "contact/{}", "{}[0]", "_{}"])
    return st.builds(
        lambda spelt, gaps, frame: frame.format("".join(gap + each for gap, each in zip(gaps, spelt, strict=True))),
        letters,
        between,
        around,
    )


def planted(mask: Callable[[str], str], secrets: st.SearchStrategy[str], *, digits: bool) -> st.SearchStrategy[Planted]:
    kinds = [
        secrets.map(lambda text: Planted(text, text, mask(text))),
        secrets.map(lambda text: Planted(text, text.translate(FULL_WIDTH), mask(text))),
        secrets.map(lambda text: Planted(text, [text, None, [text]], [mask(text), None, [mask(text)]])),
        secrets.map(lambda text: Planted(text, {text: [text], "n": 1}, HIDDEN)),
        secrets.map(lambda text: Planted(text, json.dumps({"a": text}), mask(json.dumps({"a": text})))),
    ]
    if digits:
        kinds.append(secrets.map(lambda text: Planted(text, int(text), mask(text))))
        kinds.append(secrets.map(lambda text: Planted(text, float(text) + 0.5, HIDDEN)))
    return st.one_of(kinds)


PHONES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
CARDS = st.from_regex(r"[1-9][0-9]{16}[0-9X]", fullmatch=True)
MAILS = st.from_regex(r"[a-z]{3,12}[0-9]{3}@[a-z]{2,8}\.com", fullmatch=True)
WORDS = st.from_regex(r"hush[A-Za-z0-9]{8,20}", fullmatch=True)
FIELDS = st.one_of(
    st.tuples(spellings("phone"), planted(phone, PHONES, digits=True)),
    st.tuples(spellings("idcard"), planted(id_card, CARDS, digits=False)),
    st.tuples(spellings("email"), planted(email, MAILS, digits=False)),
    st.tuples(spellings("pass"), planted(redact, PHONES, digits=True) | planted(redact, WORDS, digits=False)),
    st.tuples(spellings("name"), planted(HASH, WORDS, digits=False) | planted(HASH, PHONES, digits=True)),
)

# Letters of no masked key, so that no other text or key is taken for one.
TEXTS = st.text(st.sampled_from('gjkqxz 0.,:{}[]"\\/\u00fc\u4e2d\U0001f600\u2028\n'), max_size=12)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).map(Number)
SCALARS = st.none() | st.booleans() | TEXTS | NUMBERS


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    plain = st.dictionaries(st.text("gjkqxz", min_size=1, max_size=5), values, max_size=4)
    return st.builds(lambda some, secret: some | dict(secret), plain, st.lists(FIELDS, max_size=2))


DOCUMENTS = st.recursive(
    SCALARS | objects(SCALARS),
    lambda inner: objects(inner) | st.lists(inner, max_size=4) | st.builds(Quoted, inner, st.booleans()),
    max_leaves=12,
)


def render(node: Any) -> Any:
    match node:
        case Planted():
            return node.written
        case Quoted():
            return dump(node.inner, ascii_only=node.ascii)
        case Number():
            return f"<{node}>"  # `dump` takes the quotes off again
        case dict():
            return {key: render(value) for key, value in node.items()}
        case list():
            return [render(value) for value in node]
        case _:
            return node


def dump(node: Any, *, ascii_only: bool) -> str:
    text = json.dumps(render(node), ensure_ascii=ascii_only)
    return re.sub(r'"<(.*?)>"', r"\1", text)


def secrets(node: Any) -> Iterator[str]:
    match node:
        case Planted():
            yield node.secret
        case Quoted():
            yield from secrets(node.inner)
        case dict():
            for value in node.values():
                yield from secrets(value)
        case list():
            for value in node:
                yield from secrets(value)


def read(text: str) -> Any:
    return json.loads(text, parse_int=Number, parse_float=Number)


def check(node: Any, out: Any) -> None:
    """What came out is what the node says: masked where planted, else the same value."""
    match node:
        case Planted():
            assert out == node.shown
            assert not isinstance(out, Number)
        case Quoted() if isinstance(out, str):
            check(node.inner, read(out))
        case dict():
            assert list(out) == list(node)
            for key, value in node.items():
                check(value, out[key])
        case list():
            assert len(out) == len(node)
            for value, other in zip(node, out, strict=True):
                check(value, other)
        case _:
            assert out == node
            assert isinstance(out, Number) == isinstance(node, Number)


@FEW
@given(DOCUMENTS, st.sampled_from([True, False]))
def test_no_planted_secret_leaves_and_all_else_is_equal(document: Any, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    text = dump(document, ascii_only=ascii_only)
    out = MASKER.mask(text.encode())
    check(document, read(out.decode()))
    plain = unicodedata.normalize("NFKC", out.decode())
    for secret in secrets(document):
        assert secret not in plain
    if not any(True for _ in secrets(document)):
        assert out == text.encode()


def find(value: Any, *, masked: bool = False) -> Iterator[Any]:
    """The values below masked keys, found in the plainest way."""
    if masked and not isinstance(value, dict | list):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from find(each, masked=masked)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from find(each, masked=masked or fold(key) in MASKS)


JSONISH = st.text(st.sampled_from('{}[]":,\\ \nphoneu0047N1aE-.e'), max_size=40)


@FEW
@given(
    JSONISH
    | st.binary(max_size=30).map(lambda raw: raw.decode("latin-1"))
    | st.builds('{{"phone":{}}}'.format, JSONISH)
)
def test_whatever_comes_is_masked_or_refused(text: str) -> None:
    try:
        out = MASKER.mask(text.encode())
    except Unmaskable:
        return
    before, after = json.loads(text), json.loads(out)
    assert all(value is None or value == HIDDEN for value in find(after))
    assert bool(list(find(before))) >= bool(list(find(after)))
