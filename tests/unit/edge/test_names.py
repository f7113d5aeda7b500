"""Lookups of names whose servers say nothing, and what they keep others from. The loop's own lookups are real."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvloop

from slipstream.edge.names import Names
from slipstream.edge.outbound import Outbound, OutboundError
from tests.authorizer import AuthorizerServer
from tests.contract.pod import until
from tests.servers import HOST

TARPIT = "tarpit-{}.example"


class Servers:
    """The name servers of the world: those of tarpits say nothing until the gate is open. asked: the tarpits.

    What ends in `.invalid` is not there (RFC 6761 section 6.4).
    """

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.gate = threading.Event()
        self.asked: list[str] = []

    def answer(self, host: Any, *args: Any, **more: Any) -> Any:
        if str(host).startswith("tarpit"):
            self.asked.append(host)
            self.gate.wait(30)
            return self._real(HOST, *args, **more)
        if str(host).endswith(".invalid"):  # Nobody outside of this machine is asked.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._real(host, *args, **more)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    made = Servers(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", made.answer)
    yield made
    made.gate.set()


@pytest.fixture
async def webhook() -> AsyncIterator[AuthorizerServer]:
    async with AuthorizerServer.serving() as one:
        yield one


async def ask(outbound: Outbound, url: str, seconds: float = 20.0) -> int:
    return (await outbound.ask(url, url, seconds=seconds, most=1_024, headers={}, body=b"{}")).status


async def test_names_that_nobody_answers_for_keep_neither_the_loop_nor_other_names_waiting(
    servers: Servers, webhook: AuthorizerServer
) -> None:
    outbound = Outbound()
    stuck = [asyncio.create_task(ask(outbound, f"http://{TARPIT.format(one)}/"), name="stuck") for one in range(40)]
    await until(lambda: len(servers.asked) == 40, "all are looked up")
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 1)
        assert await ask(outbound, webhook.url.replace(HOST, "localhost")) == 200
    assert not any(one.done() for one in stuck)
    for one in stuck:
        one.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    await outbound.close()


async def test_one_lookup_of_a_name_at_a_time_and_others_beyond_the_most_are_refused_at_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipstream.edge.names._LOOKUPS", 2)
    names = Names()
    stuck = [asyncio.create_task(names.resolve(TARPIT.format(one % 2), 443), name="stuck") for one in range(20)]
    await until(lambda: len(servers.asked) == 2, "each is looked up")
    stuck[0].cancel()
    with pytest.raises(OSError, match="2 other names are being looked up"):
        await names.resolve("localhost", 443)
    servers.gate.set()
    found = await asyncio.gather(*stuck, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [one[0]["host"] for one in found[1:] if isinstance(one, list)] == [HOST] * 19, "who leaves leaves alone"
    assert len(servers.asked) == 2
    assert (await names.resolve("localhost", 443))[0]["port"] == 443


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 64 + ".example", "\udcff"])
@pytest.mark.usefixtures("servers")
async def test_a_name_that_is_none_is_an_error_of_the_question(host: str) -> None:
    names = Names()
    found = await asyncio.gather(names.resolve(host, 443), return_exceptions=True)
    assert isinstance(found[0], OSError)
    assert names._under_way == {}
    outbound = Outbound()
    with pytest.raises(OutboundError):
        await ask(outbound, f"https://{host}/")
    await outbound.close()


async def test_where_no_thread_can_be_had_it_is_an_error_of_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose limit of processes (pids.max) is reached."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    outbound = Outbound()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        with pytest.raises(OutboundError, match="no thread"):
            await ask(outbound, "http://localhost/")
    await outbound.close()


def test_a_lookup_outlives_its_loop_and_keeps_no_process_from_its_end(servers: Servers) -> None:
    async def begin() -> None:
        outbound = Outbound()
        with pytest.raises(OutboundError, match="no answer within"):
            await ask(outbound, f"http://{TARPIT.format(1)}/", 0.2)
        await outbound.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(begin())
    (thread,) = (one for one in threading.enumerate() if one.name == f"name-{TARPIT.format(1)}")
    assert thread.daemon
    servers.gate.set()
    thread.join(10)
    assert not thread.is_alive()
