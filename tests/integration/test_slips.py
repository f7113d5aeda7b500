"""Slips of people who write a first request: told what was meant, and not answered as if they had asked for all."""

from collections.abc import AsyncIterator

import pytest

from slipstream.app import Running
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.wire import call

LOOPS = ("uvloop",)


@pytest.fixture
async def running(cluster: Cluster) -> AsyncIterator[Running]:
    async with cluster.edge() as one:
        yield one


@pytest.mark.parametrize("path", ["/v1/events", "/v1/poll"])
@pytest.mark.parametrize(
    ("name", "meant"), [("topics", "topic"), ("topic%5B%5D", "topic"), ("lastEventId", "last_event_id")]
)
async def test_a_misspelt_parameter_is_no_wish_for_everything(
    cluster: Cluster, running: Running, path: str, name: str, meant: str
) -> None:
    answer = await call(running.server.port, cluster.target(f"{name}=orders", path), "Accept: text/event-stream")
    assert problem(answer, 400, "BAD_REQUEST").endswith(f"is not a parameter: did you mean {meant}?")
    assert not len(running.services.hub.reactor)


async def test_parameters_that_others_add_pass(cluster: Cluster, running: Running) -> None:
    answer = await call(running.server.port, cluster.target("topic=a&_=1732450000&utm_source=mail&t=%ff", "/v1/poll"))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("GET", "/v1/stream", "streams are at /v1/events"),
        ("GET", "/v1/publish", "streams are at /v1/events, and POST /v1/events publishes"),
        ("POST", "/v1/messages", "streams are at /v1/events, and POST /v1/events publishes"),
        ("PUT", "/v1/publish/", "streams are at /v1/events, and POST /v1/events publishes"),
        ("PUT", "/v1/events", "it takes GET, HEAD, POST"),
        ("POST", "/v1/poll", "it takes GET"),
    ],
)
async def test_who_is_wrong_here_is_told_where_to_go(running: Running, method: str, path: str, says: str) -> None:
    answer = await call(running.server.port, path, method=method, body=b"" if method != "GET" else None)
    assert answer.json["detail"].endswith(f": {says}")
