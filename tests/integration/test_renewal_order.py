"""Two renewals of one stream that overtake one another: it goes on by the one that was asked for last."""

import asyncio
import time
from pathlib import Path

from slipstream.auth.claims import Token
from tests.integration.cluster import Cluster
from tests.integration.guarded import applied, bearer, guarded, minted, opened
from tests.integration.wire import Answer, call, until
from tests.tokens import JwksServer

LOOPS = ("uvloop",)


async def test_an_older_token_that_is_allowed_later_does_not_take_the_place_of_a_newer_one(
    cluster: Cluster, keys: JwksServer, tmp_path: Path
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def allow(_authorizer: object, _question: object, token: Token, _text: str) -> bool:
        if token.id == "slow":
            asked.set()
            await go_on.wait()
        return True

    async with guarded(cluster, keys, tmp_path) as running, asyncio.timeout(20):
        await applied(cluster, running, authorizer={"url": "http://127.0.0.1:9/"})
        running.services.authorizers.allow = allow  # type: ignore[assignment, method-assign]
        now = int(time.time())
        _, ready = await opened(cluster, running, "topic=a", bearer(minted(cluster, exp=now + 500)))

        def renewed(name: str, expires_at: int) -> asyncio.Task[Answer]:
            header = bearer(minted(cluster, jti=name, exp=expires_at))
            path = f"/v1/streams/{ready['stream']}/token"
            return asyncio.create_task(call(running.server.port, path, header, method="POST"), name=name)

        slow = renewed("slow", now + 1_000)
        await until(asked.is_set, "the first is asked about")
        quick = await renewed("quick", now + 2_000)
        assert quick.json == {"stream": ready["stream"], "expires_at": now + 2_000}
        go_on.set()
        late = await slow
        assert (late.status, late.json) == (200, {"stream": ready["stream"], "expires_at": now + 2_000})
        (session,) = [one async for one in running.services.sessions.walk()]
        assert session.token is not None
        assert session.token.id == "quick"
        assert session.connection.lifetime is not None
        assert session.connection.lifetime.ends_at == now + 2_000
        third = await renewed("shorter", now + 300)
        assert third.json["expires_at"] == now + 300, "whoever asks last may want less"
