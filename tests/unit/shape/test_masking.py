"""Where masked keys are found, what stays as it was, and what is not passed on."""

import json
from itertools import islice

import pytest

from slipstream.demo import flights
from slipstream.shape.mask import HIDDEN, email, id_card, phone
from slipstream.shape.masking import DEPTH_MAX, Masker, Unmaskable

MASKER = Masker({"phone": phone, "idcard": id_card, "email": email})
SECRET = "13812341234"
WIDE = "".join(chr(ord(each) + 0xFEE0) for each in "PHONE")


def masked(text: str) -> str:
    return MASKER.mask(text.encode()).decode()


def test_real_flights_with_passengers_lose_the_passenger_and_nothing_else() -> None:
    for number, flight in enumerate(islice(flights(), 200)):
        person = {
            "Phone_No": f"1380000{number:04}",
            "contact": [{"phone": 13800000000 + number, "E-Mail": f"anna{number}@example.com"}],
            "notes": json.dumps({"ID Card": f"1101011990{number:08}"}),
        }
        shown = {
            "Phone_No": person["Phone_No"],  # another key
            "contact": [{"phone": f"138****{number:04}", "E-Mail": "a***@example.com"}],
            "notes": json.dumps({"ID Card": f"110101********{number:04}"}, separators=(",", ":")),
        }
        data = json.dumps(flight["data"] | {"passenger": person}).encode()
        assert json.loads(MASKER.mask(data)) == flight["data"] | {"passenger": shown}
        plain = json.dumps(flight["data"], indent=1).encode()
        assert MASKER.mask(plain) is plain


@pytest.mark.parametrize(
    "key",
    [
        "phone",
        "PHONE",
        "Pho_Ne",
        "p-h o_n-e",
        WIDE,
        "pho\u200bne",
        "user.phone",
        "phone.home",
        "phone[0]",
        "a/phone",
    ],
)
def test_a_key_is_known_in_every_spelling(key: str) -> None:
    for text in (json.dumps({key: SECRET}), json.dumps({key: SECRET}, ensure_ascii=False)):
        assert json.loads(masked(text)) == {key: "138****1234"}
    escaped = "".join(f"\\u{ord(each):04x}" for each in key)
    assert json.loads(masked(f'{{"{escaped}":{SECRET}}}')) == {key: "138****1234"}


@pytest.mark.parametrize("key", ["phones", "telephone", "phonebook", "ph", "fone", ""])
def test_another_key_is_left_alone(key: str) -> None:
    text = json.dumps({key: SECRET})
    assert masked(text) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('"13812341234"', '"138****1234"'),
        ("13812341234", '"138****1234"'),
        ("-13812341234", f'"{HIDDEN}"'),
        ("1.3812341234e10", f'"{HIDDEN}"'),
        ("13812341234.0", f'"{HIDDEN}"'),
        ("true", f'"{HIDDEN}"'),
        ("null", "null"),
        ('""', f'"{HIDDEN}"'),
        ("[13812341234,[null,true]]", f'["138****1234",[null,"{HIDDEN}"]]'),
        ("[]", "[]"),
        ("{}", f'"{HIDDEN}"'),
        ('{"13812341234":1}', f'"{HIDDEN}"'),
        ('"[13812341234]"', f'"{HIDDEN}"'),
    ],
)
def test_what_stands_under_a_masked_key(value: str, shown: str) -> None:
    assert masked(f'{{"phone":{value}}}') == f'{{"phone":{shown}}}'


@pytest.mark.parametrize("lead", ["", " ", "\n\t", "\ufeff", "\u00a0"])
def test_json_in_strings_is_masked_to_the_bottom(lead: str) -> None:
    inner = json.dumps({"phone": SECRET, "n": 1})
    twice = lead + json.dumps({"a": lead + json.dumps([inner])})
    out = json.loads(masked(json.dumps({"log": twice, "quoted": json.dumps(inner)})))
    assert json.loads(json.loads(json.loads(out["log"])["a"])[0]) == {"phone": "138****1234", "n": 1}
    assert json.loads(json.loads(out["quoted"])) == {"phone": "138****1234", "n": 1}
    assert SECRET not in str(out)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[draft] minutes", "[draft] minutes"),
        ('"Hello," she said', '"Hello," she said'),
        ("[Infinity War] review", "[Infinity War] review"),
        ("{{name}}", "{{name}}"),
        (f'{{"phone":"{SECRET}",}}', HIDDEN),  # a tolerant reader takes the comma
        (f"{{'phone':'{SECRET}'}}", HIDDEN),
        (f'{{"phone":{SECRET},"x":NaN}}', HIDDEN),
        (f'{{"phone":1,"phone":{SECRET}}}', HIDDEN),
        (f'{{"phone":{SECRET}}}\n{{"phone":{SECRET}}}', HIDDEN),
        (f'{{"\\u0070hone":{SECRET},}}', HIDDEN),
        (f'{{"\\\\u0070hone":{SECRET},}}', HIDDEN),
        (f'{{"pho\\tne":{SECRET},}}', HIDDEN),
        (f'{{"{WIDE}":{SECRET},}}', HIDDEN),
        ("[" * 200_000 + "phone", HIDDEN),
    ],
)
def test_a_string_that_only_looks_like_json_stays_unless_a_masked_key_may_be_in_it(text: str, shown: str) -> None:
    assert json.loads(masked(json.dumps({"text": text, "n": 1}))) == {"text": shown, "n": 1}


def test_a_backslash_before_a_name_is_not_taken_for_an_escape() -> None:
    tolerated = '{"\\\\name":"Anna",}'  # the key is a backslash and the name
    masker = Masker({"name": phone})
    assert json.loads(masker.mask(json.dumps([tolerated]).encode())) == [HIDDEN]
    assert json.loads(masker.mask(json.dumps({"\\name": "Anna"}).encode())) == {"\\name": HIDDEN}


def test_numbers_keys_and_order_stay_as_they_are_written() -> None:
    before = '{"z":1.10,"a":[1E400,-0,0.1e-7,12345678901234567890123],"phone":13812341234,"ü":"\\u00fc\\/"}'
    assert masked(before) == ('{"z":1.10,"a":[1E400,-0,0.1e-7,12345678901234567890123],"phone":"138****1234","ü":"ü/"}')
    assert masked(f'{{"n":{"9" * 5000},"phone":""}}') == f'{{"n":{"9" * 5000},"phone":"{HIDDEN}"}}'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"call 13812341234", "not JSON"),
        (b'{"phone":', "not JSON"),
        (b'{"phone":1} {"phone":2}', "not JSON"),
        (b'\xef\xbb\xbf{"phone":1}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b"[-Infinity]", "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"phone":1,"phone":2}', "twice"),
        (b'{"a":1,"\\u0061":2}', "twice"),
        (b'{"a":[{"b":{"c":1,"c":1}}]}', "twice"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'{"a":"\\ud800","phone":1}', "surrogate"),
        (b'{"a":"[\\"\\\\ud800\\"]"}', "surrogate"),
    ],
)
def test_what_cannot_be_read_for_sure_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Unmaskable, match=reason) as caught:
        MASKER.mask(data)
    assert "138" not in str(caught.value)


def nested(depth: int, inner: str) -> str:
    return "[" * depth + inner + "]" * depth


def test_nesting_is_bounded_over_arrays_objects_and_strings_together() -> None:
    assert json.loads(masked(nested(DEPTH_MAX - 1, '{"phone":1}')))
    for deep in (
        nested(DEPTH_MAX, '{"phone":1}'),
        nested(DEPTH_MAX + 1, ""),
        f'{{"phone":{nested(DEPTH_MAX, "")}}}',
        nested(40, json.dumps(nested(40, '{"phone":1}'))),
    ):
        with pytest.raises(Unmaskable, match="deeper"):
            masked(deep)


def test_a_character_outside_the_basic_plane_may_be_escaped() -> None:
    text = '{"a":"\\ud83d\\ude00"}'
    assert masked(text) == text
    assert masked(text[:-1] + ',"phone":1}') == '{"a":"😀","phone":"***"}'


def test_many_different_keys_are_not_all_remembered() -> None:
    masker = Masker({"phone": phone})
    for start in range(0, 20_000, 1_000):
        masker.mask(json.dumps({f"k{number}": 1 for number in range(start, start + 1_000)}).encode())
    masker.mask(json.dumps({"k" * 5_000: 1}).encode())
    assert len(masker._seen) <= 4_096
    assert max(map(len, masker._seen)) < 200
    assert masker.mask(b'{"phone":1}') == b'{"phone":"***"}'


def test_no_text_takes_longer_than_its_length_tells() -> None:
    # Each of these would take minutes if marks were sorted, or a run of backslashes looked at from each of them.
    marks = "\u0301" * 100_000 + "\u0316" * 100_000
    for text in (f"[{chr(92) * 200_000}", f"[{marks}", marks):
        assert json.loads(masked(json.dumps({"text": text}))) == {"text": text}
        assert json.loads(masked(json.dumps({"phone": text}))) == {"phone": HIDDEN}
        assert json.loads(masked(json.dumps({text: 1}))) == {text: 1}
