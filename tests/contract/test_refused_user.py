"""A NATS that lets nobody in, or lets a user do less than it is asked to: whoever asks is told so, and at once."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from slipstream.jetstream.api import Api
from slipstream.jetstream.bucket import Bucket
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.link import Access, Link
from slipstream.jetstream.pipeline import Pipeline
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import until
from tests.contract.users import PASSWORD, access, command, document, fenced
from tests.servers import NatsServer, slipstream, slipstream_environment

pytestmark = pytest.mark.timeout(60)

PATIENT = 60.0


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = fenced(tmp_path_factory.mktemp("fenced"), ["acme"])
    yield server
    if server.alive:
        asyncio.run(server.kill())


@asynccontextmanager
async def entered(nats: NatsServer, user: str) -> AsyncIterator[Link]:
    link = Link(Access((nats.url,), user=user, password=PASSWORD), user)
    await link.open()
    yield link
    await link.close()


async def refused(asking: Coroutine[Any, Any, object]) -> str:
    """What is told of a question that has a minute, and an answer within seconds."""
    async with asyncio.timeout(5.0):
        with pytest.raises(SlipstreamError) as error:
            await asking
    assert (error.value.code, error.value.retry_after) == (Code.UPSTREAM_UNAVAILABLE, None), "time does not mend it"
    assert "slipstream tenant nats-permissions" in error.value.message
    return error.value.message.partition("; use a user with these rights")[0]


async def failed(nats: NatsServer, user: str, *arguments: str, stdin: str = "") -> str:
    """What a command says on stderr that fails before it would have waited for what may pass."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=slipstream_environment(nats.url) | access(user),
    )
    try:
        async with asyncio.timeout(15.0):
            shown, told = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, shown, told.count(b"\n")) == (1, b"", 1), told
    return told.decode()


@pytest.mark.parametrize(
    ("subject", "ask"),
    [
        ("$JS.API.STREAM.UPDATE.SSE_acme", lambda link: Api(link, PATIENT).call("STREAM.UPDATE.SSE_acme", {})),
        ("$KV.slipstream_tenants.acme", lambda link: Api(link, PATIENT).request("$KV.slipstream_tenants.acme", b"1")),
        ("$JS.API.STREAM.CREATE.KV_slipstream_tenants", lambda link: Bucket(Api(link, PATIENT)).ensure()),
    ],
    ids=["api", "key", "bucket"],
)
async def test_what_an_edge_may_not_ask_is_told_at_once(
    nats: NatsServer, subject: str, ask: Callable[[Link], Coroutine[Any, Any, object]]
) -> None:
    suspected: list[str] = []
    async with entered(nats, "edge") as link:
        link.on_suspicion = suspected.append
        assert await refused(ask(link)) == f'NATS refuses this user: permissions violation for publish to "{subject}"'
        assert suspected == [], "it was heard"


async def test_what_the_controller_may_not_read_or_publish_is_told_at_once(nats: NatsServer) -> None:
    async with entered(nats, "controller") as link:
        told = await refused(Direct(link, PATIENT).batch("SSE_acme", {"seq": 1, "batch": 1}))
        assert told.endswith('permissions violation for publish to "$JS.API.DIRECT.GET.SSE_acme"')
        acks: list[object] = []
        await Pipeline(link).send("acme", "sse.acme.orders.New", b"1", {}, acks.append)
        async with asyncio.timeout(2.0):
            await until(lambda: bool(acks), "it is settled")
        (ack,) = acks
        assert isinstance(ack, SlipstreamError)
        assert 'permissions violation for publish to "sse.acme.orders.New"' in ack.message
        assert ack.retry_after is None


async def test_a_refusal_is_told_to_who_asked_and_to_nobody_else(nats: NatsServer) -> None:
    async with entered(nats, "edge") as link:
        api = Api(link, 0.5)
        # Nobody answers either: one was refused, the other is a subject that a subscriber of our own keeps to itself.
        silent = f"slipstream.edge.{'a' * 8}.silent"
        await link.client.tap(silent.replace("silent", "*"), lambda *_: None)
        answers = await asyncio.gather(
            api.call("STREAM.UPDATE.SSE_secret"), api.request(silent, b""), return_exceptions=True
        )
        assert [str(error).partition(":")[0] for error in answers] == ["NATS refuses this user", "NATS did not answer"]
        assert "secret" not in str(answers[1])


async def test_who_may_hear_no_answers_is_told_each_time(nats: NatsServer) -> None:
    """The server refuses the inbox once, with the first question of a connection."""
    async with entered(nats, "acme-producer") as link:
        for timeout in (PATIENT, 0.3):
            told = await refused(Api(link, timeout).request("sse.acme.orders", b"1"))
            assert told == 'NATS refuses this user: permissions violation for subscription to "_INBOX.>"'


async def test_a_command_says_at_once_what_its_user_may_not(nats: NatsServer) -> None:
    assert await command(nats, "apply", "-f", "-", stdin=document("acme")) == "tenant acme created\n"
    told = await failed(nats, "edge", "tenant", "apply", "-f", "-", stdin=document("other"))
    assert told.startswith(
        'slipstream: NATS refuses this user: permissions violation for publish to "$JS.API.STREAM.CREATE.SSE_other"'
    )
    told = await failed(nats, "controller", "publish", "a", "1", "-t", "acme")
    assert 'permissions violation for publish to "sse.acme.a"' in told


async def test_a_login_that_is_refused_is_told_with_what_to_set(
    nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    for name, given in (("nobody", {}), ("wrong", {"user": "edge", "password": "wrong"})):
        caplog.clear()
        link = Link(Access((nats.url,), **given), name)
        opening = asyncio.create_task(link.open())
        await until(lambda: "NATS refuses the login" in caplog.text, "it says why it waits")
        said = caplog.text
        assert "SLIPSTREAM_NATS_USER and SLIPSTREAM_NATS_PASSWORD, or SLIPSTREAM_NATS_CREDS" in said
        opening.cancel()
        await asyncio.wait({opening})
        await link.close()
    done = await slipstream("tenant", "list", nats_url=nats.url)
    assert (done.status, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"slipstream: gave up after 5 s: NATS refuses the login at {nats.url} (")
    assert "SLIPSTREAM_NATS_USER" in done.stderr
    assert "waiting" not in done.stderr
