"""JSON is read as RFC 8259 says, and every value keeps the spelling of whoever wrote it."""

import pytest

from slipstream.protocol.raw_json import NotJson, is_json, parse_array, parse_object

SPELLINGS = ("1.0", "1e400", "-0", "1E+5", "0.1000000000000000055", "9" * 30, "1" * 5000, "true", '"\\u0041\\/"')


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda one: one[:20])
def test_a_value_keeps_its_spelling(spelling: str) -> None:
    ((name, raw),) = parse_object(f' {{ "a" :\t{spelling}\r\n}} ')
    assert (name, raw.text, raw.compact) == ("a", spelling, spelling)


def test_compact_is_without_the_whitespace_between_tokens_alone() -> None:
    ((_, raw),) = parse_object('{"a": { "x y" : [ 1 ,\n "two  spaces \\" , \\\\" , {\t} ] , "z":"" }}')
    assert raw.compact == '{"x y":[1,"two  spaces \\" , \\\\",{}],"z":""}'


def test_names_are_unescaped_and_may_come_twice() -> None:
    assert [(name, raw.value) for name, raw in parse_object('{"\\u0061":"x","a":null}')] == [("a", "x"), ("a", None)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an object belongs at character 0"),
        ("[]", "an object belongs at character 0"),
        ("\ufeff{}", "an object belongs at character 0"),
        ("{", "a name in quotes and a colon belong at character 1"),
        ('{"a"', "a name in quotes and a colon belong at character 1"),
        ('{"a":', "Expecting value at character 5"),
        ('{"a":1', "',' or '}' belongs at character 6"),
        ('{"a":1,}', "a name in quotes and a colon belong at character 7"),
        ("{a:1}", "a name in quotes"),
        ('{"a\n":1}', "a name in quotes"),
        ('{"\\x":1}', "escape"),
        ('{"a":1]', "',' or '}' belongs at character 6"),
        ('{"a":1}{}', "something follows the end, at character 7"),
        ('{"a":01}', "',' or '}' belongs at character 6"),
        ('{"a":NaN}', "NaN is no JSON value"),
        ('{"a":[-Infinity]}', "-Infinity is no JSON value"),
        ('{"a":"\n"}', "control character"),
        ('{"a":"\\x"}', "escape"),
        ('{"a":\u0661}', "Expecting value"),
        ('{"a":' + "[" * 100_000, "nested too deeply"),
    ],
    ids=lambda one: one[:20],
)
def test_what_is_no_object_is_refused(text: str, says: str) -> None:
    with pytest.raises(NotJson, match=says):
        parse_object(text)


def test_an_array_gives_the_members_of_each_object() -> None:
    found = list(parse_array(' [ {"a":1.0} , 5,"{}", [{}] ,{ } ] '))
    assert [None if members is None else [(name, raw.text) for name, raw in members] for members in found] == [
        [("a", "1.0")],
        None,
        None,
        None,
        [],
    ]
    assert list(parse_array("[]")) == list(parse_array(" [ ] ")) == []


@pytest.mark.parametrize("text", ["", "{}", "[", "[{}", "[{},]", "[,]", "[{} {}]", "[{}}", "[]]", "[{}]1", "[NaN]"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        list(parse_array(text))


@pytest.mark.parametrize("text", ["1e400", ' {"a":[1]}\n', '"x"', "null"])
def test_any_value_is_json(text: str) -> None:
    assert is_json(text)


@pytest.mark.parametrize("text", ["x", "", " ", "1 2", "01", "NaN", "\ufeff1", "[" * 100_000])
def test_all_else_is_not(text: str) -> None:
    assert not is_json(text)
