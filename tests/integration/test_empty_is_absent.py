"""An empty header or parameter is as good as none: proxies that take one away often leave it empty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipstream.app import Running
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import PATH, bearer, edges, minted
from tests.integration.wire import call
from tests.tokens import JwksServer

LOOPS = ("uvloop",)
POLL = "/v1/poll"


@pytest.fixture
async def edge(cluster: Cluster, keys: JwksServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with edges(cluster, keys, tmp_path, 1) as running:
        yield running[0]


async def test_an_empty_authorization_does_not_stand_before_the_cookie(cluster: Cluster, edge: Running) -> None:
    cookie = f"Cookie: __Host-slipstream={minted(cluster)}"
    site = "Sec-Fetch-Site: same-origin"
    for empty in ("Authorization:", "Authorization:  "):
        answer = await call(edge.server.port, POLL, empty, cookie, site)
        assert answer.status == 200, answer
        assert "no token" in problem(await call(edge.server.port, POLL, empty), 401, "UNAUTHORIZED")
        # A page of another site cannot make the cookie count by it.
        assert (await call(edge.server.port, POLL, empty, cookie, "Sec-Fetch-Site: cross-site")).status == 401
    # One with a scheme is not empty: whoever meant to send a token is told.
    assert (await call(edge.server.port, POLL, "Authorization: Bearer", cookie, site)).status == 401


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (["Retry-Preferences:"], "retry_preferences=max-attempts%3D3"),
        (["Retry-Preferences:", "Retry-Preferences:"], "retry_preferences=max-attempts%3D3"),
        (["Retry-Preferences:", "Retry-Preferences: max-attempts=3"], "retry_preferences=max-attempts%3D7"),
        (["Retry-Preferences: max-attempts=3"], "retry_preferences="),
    ],
)
async def test_an_empty_preference_does_not_stand_before_the_parameter(
    cluster: Cluster, edge: Running, headers: list[str], query: str
) -> None:
    answer = await call(edge.server.port, f"{POLL}?{query}", bearer(minted(cluster)), *headers)
    assert "max-attempts=3," in answer.headers["x-retry-policy"]


async def test_an_empty_topic_is_not_everything(cluster: Cluster, edge: Running) -> None:
    """The one that is not absent: a page whose variable is empty would read all there is."""
    answer = await call(edge.server.port, f"{PATH}?topic=", bearer(minted(cluster)))
    assert "'' is not a topic filter" in problem(answer, 400, "BAD_REQUEST")
