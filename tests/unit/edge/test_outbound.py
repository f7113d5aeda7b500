"""How an edge asks others: each bound, and which addresses it connects to, over real sockets."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from slipstream.edge.outbound import Answer, GaveWay, Outbound, OutboundError, is_public
from tests.authorizer import AuthorizerServer
from tests.contract.pod import until
from tests.servers import HOST

SECRET = "Bearer eyJhbGciOiJub25lIn0.c2VjcmV0.c2lnbmF0dXJl"


class Names(AbstractResolver):
    """Resolves every name to what `addresses` says at the moment."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def server() -> AsyncIterator[AuthorizerServer]:
    async with AuthorizerServer.serving() as one:
        yield one


Make = Callable[..., Outbound]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes what is closed with the test."""
    made: list[Outbound] = []

    def one(allows: Callable[[str], bool] | None = None, resolver: AbstractResolver | None = None) -> Outbound:
        made.append(Outbound(allows, resolver))
        return made[-1]

    yield one
    for each in made:
        await each.close()


async def ask(
    outbound: Outbound, url: str, seconds: float = 5.0, body: bytes | None = b"{}", holder: str = "acme"
) -> Any:
    return await outbound.ask(
        url, holder, seconds=seconds, most=64 * 1_024, headers={"Authorization": SECRET}, body=body
    )


async def refused(outbound: Outbound, url: str, seconds: float = 5.0) -> str:
    with pytest.raises(OutboundError) as caught:
        await ask(outbound, url, seconds)
    said = str(caught.value)
    assert "eyJ" not in said
    return said


async def test_a_question_and_its_answer(server: AuthorizerServer, make: Make) -> None:
    outbound = make()
    for _ in range(3):
        answer = await ask(outbound, server.url, body=json.dumps({"topics": ["a"]}).encode())
        assert answer == (200, b'{"allow":true}')
    assert server.topics == [["a"]] * 3
    assert server.tokens == [SECRET] * 3
    server.status = 500
    assert (await ask(outbound, server.url, body=None)).status == 500
    assert server.asked[-1] == {}


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("silent", "no answer within 0.3 s"),
        ("slow-body", "no answer within 0.3 s"),
        ("huge", "the answer has more than 65536 bytes"),
        ("endless", "the answer has more than 65536 bytes"),
        ("hang-up", "the connection or its answer is broken"),
        ("garbage", "the connection or its answer is broken"),
    ],
)
async def test_what_is_no_answer(
    server: AuthorizerServer, make: Make, trouble: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outbound = make()
    server.trouble = trouble
    assert said in await refused(outbound, server.url, 0.3)
    server.trouble = ""
    assert (await ask(outbound, server.url)).status == 200, "what was broken is not used again"
    assert "eyJ" not in caplog.text


async def test_a_redirect_is_an_answer_and_is_not_followed(server: AuthorizerServer, make: Make) -> None:
    server.trouble = "redirect"
    assert (await ask(make(), server.url)).status == 307
    assert server.paths == ["/allow"]


async def test_a_connection_that_was_closed_meanwhile_costs_no_question(make: Make) -> None:
    """What a server with a short keep-alive does: it closes at the moment at which the next question is sent."""
    heads = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        await reader.readuntil(b"\r\n\r\n{}")
        heads += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        # The next one is read and not answered.
        await reader.readuntil(b"\r\n\r\n{}")
        heads += 1
        writer.close()

    listening = await asyncio.start_server(once, HOST, 0)
    async with listening:
        outbound, url = make(), f"http://{HOST}:{listening.sockets[0].getsockname()[1]}/"
        for _ in range(3):
            assert (await ask(outbound, url)).status == 200
        assert heads == 5
        await outbound.close()


async def test_nobody_listens(make: Make) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        assert "Cannot connect" in await refused(make(), f"http://{HOST}:{free.getsockname()[1]}/")


async def test_the_environments_proxy_and_the_servers_cookies_are_not_used(
    server: AuthorizerServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await ask(make(), server.url)).status == 200


# -- how many at once --------------------------------------------------------------------------------------------------


async def test_a_wait_for_a_connection_ends_with_the_deadline_and_takes_none(
    server: AuthorizerServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._EACH", 1)
    outbound = make()
    server.gate.clear()
    first = asyncio.create_task(ask(outbound, server.url), name="first")
    await until(lambda: len(server.asked) == 1, "asked")
    assert "no answer within 0.1 s" in await refused(outbound, server.url, 0.1)
    second = asyncio.create_task(ask(outbound, server.url), name="second")
    first.cancel()
    await until(lambda: len(server.asked) == 2, "the place of one that left is the next one's")
    server.gate.set()
    assert (await second).status == 200
    assert (outbound._turns.total, outbound._turns._waiting) == (0, {})


async def hanging(outbound: Outbound, server: AuthorizerServer) -> asyncio.Task[Answer]:
    """A question of the holder `slow` that has its connection, and no answer."""
    server.slow = "/allow/slow"
    slow = asyncio.create_task(ask(outbound, f"{server.url}/slow", 60.0, holder="slow"), name="slow")
    await until(lambda: len(server.asked) == 1, "asked")
    return slow


async def test_one_that_makes_room_is_told_so_at_once_and_its_connection_is_closed(
    server: AuthorizerServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 1)
    outbound = make()
    slow = await hanging(outbound, server)
    assert (await ask(outbound, server.url, holder="quick")).status == 200
    with pytest.raises(GaveWay):
        await slow
    assert outbound.gave_way == 1
    assert (await ask(outbound, server.url, holder="slow")).status == 200
    assert (outbound._turns.total, outbound._turns._in) == (0, {})


async def test_who_gives_up_as_its_place_comes_free_passes_it_on(
    server: AuthorizerServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._EACH", 1)
    outbound = make()
    server.slow = "/allow"
    both = [asyncio.create_task(ask(outbound, server.url, 60.0, holder="one"), name="ask") for _ in range(2)]
    await until(lambda: len(server.asked) == 1, "the first has its place, and the second waits")
    for task in both:
        task.cancel()
    assert [type(end) for end in await asyncio.gather(*both, return_exceptions=True)] == [asyncio.CancelledError] * 2
    assert (outbound._turns.total, outbound._turns._in, outbound._turns._waiting) == (0, {}, {})


async def test_one_that_is_to_make_room_as_its_own_time_ends_is_late_and_costs_nobody_else(
    server: AuthorizerServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.outbound._CONNECTIONS", 1)
    outbound = make()
    slow = await hanging(outbound, server)
    (question,) = outbound._turns._in["slow"]
    question.scope.reschedule(0.0)  # its time is over with the next turn of the loop, in which the other one comes
    quick = asyncio.create_task(ask(outbound, server.url, holder="quick"), name="quick")
    assert (await quick).status == 200
    with pytest.raises(OutboundError, match="no answer within") as late:
        await slow
    assert not isinstance(late.value, GaveWay)


# -- where to ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/allow",
        "http://localhost:{port}/allow",
        "http://[::ffff:127.0.0.1]:{port}/allow",
        "http://[::ffff:7f00:1]:{port}/allow",
        "http://0.0.0.0:{port}/allow",
        "http://2130706433:{port}/allow",
        "http://127.1:{port}/allow",
        "http://0x7f000001:{port}/allow",
    ],
)
async def test_no_way_of_writing_it_leads_to_this_machine(server: AuthorizerServer, make: Make, url: str) -> None:
    """With the resolver of the system, and its own reading of literals."""
    said = await refused(make(is_public), url.format(port=server.url.split(":")[2].split("/")[0]))
    assert server.asked == []
    assert "SLIPSTREAM_DENY_PRIVATE_NETWORKS" in said or "is not a canonical IPv4 address" in said


async def test_a_name_that_resolves_to_a_private_address_is_refused_when_it_is_connected_to(
    server: AuthorizerServer, make: Make
) -> None:
    names = Names("127.0.0.1")
    outbound, url = make(is_public, names), server.url.replace(HOST, "auth.example.com")
    said = await refused(outbound, url)
    assert "its address is in a private network: SLIPSTREAM_DENY_PRIVATE_NETWORKS" in said
    assert names.asked == ["auth.example.com"]
    assert server.asked == []


async def test_of_several_addresses_only_those_that_are_allowed_are_tried(server: AuthorizerServer, make: Make) -> None:
    tried: list[str] = []

    def allows(address: str) -> bool:
        tried.append(address)
        return address == HOST

    names = Names("127.0.0.2", HOST)
    outbound, url = make(allows, names), server.url.replace(HOST, "auth.example.com")
    assert (await ask(outbound, url)).status == 200
    assert tried == ["127.0.0.2", HOST]
    # The name means something else now; its old connection is gone, and the new address is looked at anew.
    await outbound.close()
    names.addresses = ["127.0.0.3"]
    assert "private network" in await refused(outbound, url)
    assert len(server.asked) == 1


async def test_without_the_setting_this_machine_may_be_asked(server: AuthorizerServer, make: Make) -> None:
    assert (await ask(make(), server.url.replace(HOST, "localhost"))).status == 200


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_in_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
     "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
     "224.0.0.1", "239.1.1.1",
     "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
     "ff02::1", "ff0e::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "::127.0.0.1", "64:ff9b::7f00:1",
     "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "4000::1", "", "localhost", "1"],
)  # fmt: skip
def test_addresses_that_are_not(address: str) -> None:
    assert not is_public(address)
