"""What was asked, and can have no answer any more."""

import asyncio

from slipstream.jetstream.api import Api
from slipstream.jetstream.direct import Direct
from slipstream.jetstream.subjects import stream_of
from slipstream.protocol.errors import Code, SlipstreamError
from tests.contract.pod import Pod, freeze
from tests.servers import NatsServer


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
