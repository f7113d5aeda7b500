"""What was asked, and can have no answer any more."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from slipstream.jetstream.api import Api
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.subjects import stream_of
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import Pod, freeze, until
from tests.servers import NatsServer


def user_timeouts(port: int) -> list[int]:
    """TCP_USER_TIMEOUT of each connection of this process to a port."""
    found = []
    for path in Path("/dev/fd").iterdir():
        with suppress(OSError):  # no socket, or none that is connected
            one = socket.socket(fileno=int(path.name))
            try:
                if one.family == socket.AF_INET and one.getpeername()[1] == port:
                    found.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            finally:
                one.detach()
    return found


async def test_what_was_asked_over_a_connection_that_breaks_is_refused_at_once(
    nats: NatsServer, pod: Pod, tenant: str
) -> None:
    patient, reads = Api(pod.link, timeout=60.0), Direct(pod.link, timeout=60.0)
    await reads.batch(stream_of(tenant), {"seq": 1, "batch": 1})
    await freeze(nats)
    asked = [
        asyncio.create_task(patient.call(f"STREAM.INFO.{stream_of(tenant)}"), name="request"),
        asyncio.create_task(reads.batch(stream_of(tenant), {"seq": 1, "batch": 1}), name="read"),
    ]
    await asyncio.sleep(0.1)
    await nats.kill()
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [error.code for error in answers if isinstance(error, SlipstreamError)] == [Code.UPSTREAM_UNAVAILABLE] * 2


async def test_silence_is_told_to_who_looks_after_the_upstream(nats: NatsServer, pod: Pod, tenant: str) -> None:
    source = pod.source(tenant)
    await source.state()
    suspected: list[str] = []
    pod.link.on_suspicion = suspected.append
    await freeze(nats)
    try:
        with pytest.raises(SlipstreamError) as refused:
            await source.state()
    finally:
        nats.resume()
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
    assert suspected == [f"$JS.API.STREAM.INFO.{stream_of(tenant)}"]


async def test_the_kernel_gives_up_a_server_that_acknowledges_nothing(nats: NatsServer, pod: Pod) -> None:
    """The option is set by a name that nats-py keeps to itself, and read here from the sockets of the process."""
    link = pod.link
    for moment in ("connected", "reconnected", "replaced"):
        if moment == "reconnected":
            await nats.kill()
            await until(lambda: not link.up, "it is down")
            await nats.start()
            await until(lambda: link.up, "it is back")
        elif moment == "replaced":
            client = link.client
            await link._replace("the test wants it")
            assert link.client is not client
        milliseconds = user_timeouts(nats.port)
        assert milliseconds, moment
        assert set(milliseconds) == {6_000}, moment
