"""Who is asked, how often, and what happens when nobody answers. Over real sockets, with a clock of the test's own."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from slipstream.auth.authorizer import Question
from slipstream.auth.claims import EVERYTHING, Token
from slipstream.edge.authorizer import Authorizers
from slipstream.edge.outbound import Outbound
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.authorizer import Authorizer
from tests.authorizer import AuthorizerServer
from tests.contract.pod import until

TEXT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLWFkYQ"
ASKED = Question("acme", "ada", "subscribe", ("orders.>",))


class Desk:
    """An edge's authorizers, one webhook, and a clock."""

    def __init__(self, server: AuthorizerServer) -> None:
        self.server = server
        self.now = 1_000.0
        self.outbound = Outbound()
        self.authorizers = Authorizers(self.outbound, lambda: self.now, lambda: self.now)

    async def allow(
        self, question: Question = ASKED, text: str = TEXT, *, cache: int = 30, life: int = 3_600, seconds: float = 5.0
    ) -> bool:
        token = Token(
            subject=question.subject,
            tenant=question.tenant,
            scopes=frozenset({"subscribe"}),
            subscribe=EVERYTHING,
            publish=EVERYTHING,
            expires_at=1_000 + life,
            renew_at=0.0,
            id=None,
            issuer="https://id.example",
        )
        authorizer = Authorizer(url=self.server.url, timeout=seconds, cache=cache)
        return await self.authorizers.allow(authorizer, question, token, text)

    async def away(self, question: Question = ASKED, text: str = TEXT, *, seconds: float = 5.0) -> float:
        """It does not say; the seconds after which to come back."""
        with pytest.raises(SlipstreamError) as caught:
            await self.allow(question, text, seconds=seconds)
        error = caught.value
        assert error.code is Code.UPSTREAM_UNAVAILABLE
        assert self.server.url not in error.message
        assert error.retry_after is not None
        assert error.retry_after >= 1.0
        return error.retry_after

    async def broken(self) -> None:
        """The breaker has opened."""
        self.server.status = 500
        for number in range(5):
            await self.away(ASKED._replace(subject=f"broken-{number}"))


@pytest.fixture
async def server() -> AsyncIterator[AuthorizerServer]:
    async with AuthorizerServer.serving() as one:
        yield one


@pytest.fixture
async def desk(server: AuthorizerServer) -> AsyncIterator[Desk]:
    one = Desk(server)
    yield one
    await one.authorizers.close()
    await one.outbound.close()


async def test_the_question_and_the_callers_token_are_passed_on(desk: Desk, server: AuthorizerServer) -> None:
    assert await desk.allow() is True
    assert server.asked == [{"tenant": "acme", "subject": "ada", "action": "subscribe", "topics": ["orders.>"]}]
    assert server.tokens == [f"Bearer {TEXT}"]


@pytest.mark.parametrize(("status", "body"), [(200, b'{"allow":false}'), (401, b""), (403, b"no")])
async def test_no_is_an_answer_and_is_remembered(
    desk: Desk, server: AuthorizerServer, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    for _ in range(9):
        assert await desk.allow() is False
    assert len(server.asked) == 1, "and nobody is away: that it says no is no failure"


async def test_an_answer_counts_for_its_time_for_one_token_one_action_and_one_set_of_topics(
    desk: Desk, server: AuthorizerServer
) -> None:
    for seconds, asked in ((0, 1), (29.9, 1), (0.1, 2), (29.9, 2)):
        desk.now += seconds
        assert await desk.allow()
        assert len(server.asked) == asked
    for question in (ASKED._replace(action="publish"), ASKED._replace(topics=("a",)), ASKED._replace(tenant="other")):
        assert await desk.allow(question)
    assert await desk.allow(text=f"{TEXT}x")
    assert len(server.asked) == 6
    server.body = b'{"allow":false}'
    assert await desk.allow(), "still"
    assert await desk.allow(cache=0) is False, "the document says now that nothing is remembered"


async def test_nothing_is_remembered_for_longer_than_the_token_is_good(desk: Desk, server: AuthorizerServer) -> None:
    await desk.allow(life=10)
    desk.now += 9.9
    await desk.allow(life=10)
    assert len(server.asked) == 1
    desk.now += 0.1
    await desk.allow(life=10)
    assert len(server.asked) == 2


async def test_all_who_ask_the_same_at_once_share_one_question_and_who_leaves_takes_it_from_nobody(
    desk: Desk, server: AuthorizerServer
) -> None:
    server.gate.clear()
    waiting = [asyncio.create_task(desk.allow(cache=0)) for _ in range(50)]
    await until(lambda: len(server.asked) == 1, "asked")
    waiting[0].cancel()
    server.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [True] * 49
    assert len(server.asked) == 1
    assert await desk.allow(cache=0)
    assert len(server.asked) == 2, "with a cache of 0 the next one is asked anew"


@pytest.mark.parametrize("trouble", ["silent", "slow-body", "huge", "redirect", "hang-up", "garbage", "500", "text"])
async def test_what_is_no_answer_lets_nobody_in(
    desk: Desk, server: AuthorizerServer, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.trouble = trouble
    server.status = 500 if trouble == "500" else 200
    server.body = b"allow: true" if trouble == "text" else server.body
    # Long enough for the question to arrive; only what is silent is waited for.
    await desk.away(seconds=1.0 if trouble in ("silent", "slow-body") else 10.0)
    assert set(server.paths) == {"/allow"}
    server.trouble, server.status, server.body = "", 200, b'{"allow":true}'
    assert await desk.allow(), "a failure is not remembered"
    assert not any(part in caplog.text for part in TEXT.split("."))


async def test_a_dead_webhook_costs_its_timeout_to_a_few_and_nothing_to_all_others(
    desk: Desk, server: AuthorizerServer
) -> None:
    await desk.broken()
    assert len(server.asked) == 5
    for number in range(100):
        assert await desk.away(ASKED._replace(subject=f"later-{number}")) >= 1.0
    assert len(server.asked) == 5, "nobody is asked while it is open"
    desk.now += 1.0
    # Half-open: one tries, and what it finds is for all.
    server.gate.clear()
    trying = asyncio.create_task(desk.away())
    await until(lambda: len(server.asked) == 6, "tried")
    for number in range(10):
        await desk.away(ASKED._replace(subject=f"others-{number}"))
    server.gate.set()
    await trying
    assert len(server.asked) == 6
    desk.now += 0.9
    await desk.away()
    assert len(server.asked) == 6, "the pause is longer now"
    server.status = 200
    desk.now += 2.0
    assert await desk.allow()
    assert all([await desk.allow(ASKED._replace(subject=f"back-{number}")) for number in range(10)])


async def test_what_was_answered_before_counts_while_the_webhook_is_away(desk: Desk, server: AuthorizerServer) -> None:
    assert await desk.allow()
    await desk.broken()
    assert await desk.allow()
    desk.now += 30.0
    await desk.away()


async def test_what_breaks_for_one_tenant_is_not_broken_for_another_with_the_same_webhook(
    desk: Desk, server: AuthorizerServer
) -> None:
    await desk.broken()
    server.status = 200
    await desk.away()
    assert await desk.allow(ASKED._replace(tenant="other"))


async def test_another_url_in_the_document_is_asked_at_once(desk: Desk, server: AuthorizerServer) -> None:
    await desk.broken()
    async with AuthorizerServer.serving() as other:
        desk.server = other
        assert await desk.allow()
        assert len(other.asked) == 1
        desk.server = server
        server.status, server.body = 403, b""
        assert await desk.allow() is False, "an answer of the other URL does not count here"


async def test_too_many_questions_at_once_are_refused_not_queued(
    desk: Desk, server: AuthorizerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.authorizer._WAITING_MAX", 3)
    server.gate.clear()
    waiting = [asyncio.create_task(desk.allow(ASKED._replace(subject=f"{number}"))) for number in range(3)]
    await until(lambda: len(server.asked) == 3, "asked")
    assert await desk.away() == 1.0
    neighbour = asyncio.create_task(desk.allow(ASKED._replace(tenant="other")))
    await until(lambda: len(server.asked) == 4, "another tenant's are not among them")
    server.gate.set()
    assert await neighbour
    assert all(await asyncio.gather(*waiting))


async def test_what_the_status_page_shows(desk: Desk, server: AuthorizerServer) -> None:
    await desk.allow()
    assert desk.authorizers.document() == {"remembered": 1, "asking": 0, "gave_way": 0, "failing": {}}
    await desk.broken()
    document = desk.authorizers.document()
    assert isinstance(failing := document["failing"], dict)
    assert failing["acme"]["failures"] == 5
    assert 0.5 <= failing["acme"]["pause"] <= 1.0


async def test_the_end_ends_what_is_under_way(desk: Desk, server: AuthorizerServer) -> None:
    server.gate.clear()
    asking = asyncio.create_task(desk.allow())
    await until(lambda: len(server.asked) == 1, "asked")
    await desk.authorizers.close()
    assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError)


async def test_an_operator_is_told_when_it_breaks_and_when_it_is_back_and_no_more(
    desk: Desk, server: AuthorizerServer, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.broken()
    for _ in range(10):
        await desk.away()
    desk.now += 60.0
    server.status = 200
    await desk.allow()
    said = [record.getMessage() for record in caplog.records if record.name == "slipstream.edge.authorizer"]
    assert said == [
        *[f"the authorizer of tenant acme does not answer ({server.url}): the answer is 500"] * 2,
        f"the authorizer of tenant acme answers again ({server.url})",
    ]


async def test_a_tenant_whose_webhook_is_slow_leaves_connections_to_the_others(
    desk: Desk, server: AuthorizerServer
) -> None:
    """Both have it at one host; there are 256 connections in all."""
    server.slow = "/allow"
    waiting = [asyncio.create_task(desk.allow(ASKED._replace(subject=f"slow-{number}"))) for number in range(300)]
    await until(lambda: len(server.asked) == 32, "as many as one tenant may ask")
    server.slow = ""
    assert await desk.allow(ASKED._replace(tenant="other"))
    assert len(server.asked) == 33
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_wait_for_a_connection_is_part_of_the_deadline(
    desk: Desk, server: AuthorizerServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.slow = "/allow"
    waiting = [asyncio.create_task(desk.allow(ASKED._replace(subject=f"slow-{number}"))) for number in range(32)]
    await until(lambda: len(server.asked) == 32, "as many as one tenant may ask")
    await asyncio.gather(*(desk.away(ASKED._replace(subject=f"late-{number}"), seconds=0.2) for number in range(20)))
    assert len(server.asked) == 32, "they were never asked"
    assert len(caplog.records) == 2, "the first, and the one that opens the breaker"
    assert "no answer within 0.2 s" in caplog.text
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
