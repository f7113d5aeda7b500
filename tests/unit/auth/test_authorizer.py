"""What an authorizer's answer means, and how long it counts."""

import json

import pytest

from slipstream.auth.authorizer import Answers, Question, Unreadable, read_answer
from slipstream.tenants.authorizer import Authorizer

HOOK = Authorizer(url="https://auth.example/allow")
ASKED = Question("acme", "ada", "subscribe", ("orders.>",))


@pytest.mark.parametrize(
    ("status", "body", "allowed"),
    [
        (200, b'{"allow":true}', True),
        (200, b'{"allow":false}', False),
        (201, b' {"allow": true, "why": "a friend"} ', True),
        (401, b"", False),
        (403, b"<html>no</html>", False),
        (403, b'{"allow":true}', False),
    ],
)
def test_yes_and_no(status: int, body: bytes, allowed: bool) -> None:  # noqa: FBT001
    assert read_answer(status, body) is allowed


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (204, b""),
        (200, b"true"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"allow":1}'),
        (200, b'{"allow":"true"}'),
        (200, b'{"allow":null}'),
        (200, b'{"Allow":true}'),
        (200, b'{"allow":true'),
        (200, b"\xff\xfe"),
        (200, b"[" * 60_000),
        (199, b'{"allow":true}'),
        (300, b'{"allow":true}'),
        (302, b'{"allow":true}'),
        (400, b'{"allow":true}'),
        (404, b'{"allow":true}'),
        (429, b'{"allow":true}'),
        (500, b'{"allow":false}'),
    ],
)
def test_anything_else_is_no_answer_and_the_reason_quotes_nothing_of_it(status: int, body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        read_answer(status, body)
    assert "true" not in str(caught.value).replace('"allow": true or false', "")
    assert caught.value.__cause__ is None


def test_a_question_as_it_is_posted() -> None:
    assert json.loads(ASKED.body()) == {
        "tenant": "acme",
        "subject": "ada",
        "action": "subscribe",
        "topics": ["orders.>"],
    }


def test_an_answer_is_remembered_by_all_that_it_depends_on() -> None:
    keys = [
        question.key(hook, token)
        for hook in (HOOK, Authorizer(url="https://auth.example/other"))
        for token in ("a.b.c", "a.b.d")
        for question in (
            ASKED,
            ASKED._replace(tenant="other"),
            ASKED._replace(subject="bob"),
            ASKED._replace(action="publish"),
            ASKED._replace(topics=("orders", ">")),
            ASKED._replace(topics=()),
        )
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 for key in keys)
    # How long to wait for it and to remember it is no part of the question.
    assert ASKED.key(HOOK, "a.b.c") == ASKED.key(Authorizer(url=HOOK.url, timeout=9.0, cache=0), "a.b.c")


@pytest.mark.parametrize("allow", [True, False])
def test_an_answer_counts_for_its_time_and_no_longer_than_its_token(allow: bool) -> None:  # noqa: FBT001
    answers = Answers()
    answers.keep("acme", b"k", allow, now=100.0, ends=120.0)
    assert answers.find("acme", b"k", 110.0, 30) is allow
    assert answers.find("acme", b"k", 119.9, 30) is allow
    assert answers.find("acme", b"k", 120.0, 30) is None, "the token has ended"
    assert answers.find("acme", b"k", 109.9, 10) is allow
    assert answers.find("acme", b"k", 110.0, 10) is None, "the tenant's document says less now"
    assert answers.find("acme", b"k", 100.0, 0) is None
    assert answers.find("acme", b"x", 100.0, 30) is None
    assert answers.find("other", b"k", 100.0, 30) is None


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    answers = Answers()
    answers.keep("acme", b"k", allow=True, now=0.0, ends=1_000.0)
    answers.keep("acme", b"k", allow=False, now=5.0, ends=1_000.0)
    assert len(answers) == 1
    assert answers.find("acme", b"k", 34.9, 30) is False


def test_a_tenant_that_asks_a_lot_takes_nobody_elses_place() -> None:
    answers = Answers(most=10)
    for number in range(3):
        answers.keep("quiet", b"%d" % number, allow=True, now=0.0, ends=1_000.0)
    for number in range(100):
        answers.keep("loud", b"%d" % number, allow=True, now=1.0, ends=1_000.0)
        assert len(answers) <= 10
    assert all(answers.find("quiet", b"%d" % number, 2.0, 30) for number in range(3))
    assert [number for number in range(100) if answers.find("loud", b"%d" % number, 2.0, 30)] == list(range(93, 100))
