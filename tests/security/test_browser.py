"""What a page of another site can make its visitor's browser do."""

import pytest

from slipstream.app import Running
from tests.integration.answers import JSON
from tests.integration.cluster import Cluster
from tests.integration.guarded import PATH, applied, bearer, get, minted
from tests.integration.wire import call
from tests.security.attacks import attack

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

APP = "https://app.example.com"
EVENT = b'{"topic":"a","data":"forged"}'
FORMS = (
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Type: text/plain",
    "Content-Type: text/plain; application/json",
    "Content-Type: */*",
)
CROSS: tuple[list[str], ...] = (
    ["Sec-Fetch-Site: cross-site"],
    [f"Origin: {APP}.evil", "Sec-Fetch-Site: cross-site"],
    ["Origin: null"],
    ["Referer: https://evil.example/"],
    [],
)


async def count(cluster: Cluster, fenced: Running) -> int:
    page = await get(fenced, "since=earliest&limit=1000", bearer(minted(cluster)), path="/v1/poll")
    return len(page.json["events"])


@attack("CSRF: a form or an image of another site, with the cookie")
@pytest.mark.parametrize("where", CROSS, ids=str)
async def test_a_cookie_that_another_site_sends_along(cluster: Cluster, fenced: Running, where: list[str]) -> None:
    await applied(cluster, fenced, cors={"origins": [APP], "credentials": True})
    cookie = f"Cookie: a=b; __Host-slipstream={minted(cluster)}; c=d"
    before, opened = await count(cluster, fenced), fenced.services.hub._number
    target = f"{PATH}?tenant={cluster.tenant}"
    for kind in (*FORMS, JSON):
        answer = await call(fenced.server.port, target, cookie, kind, *where, method="POST", body=EVENT)
        assert answer.status in (401, 403), answer
    for path in (target, f"/v1/poll?tenant={cluster.tenant}"):
        answer = await call(fenced.server.port, path, cookie, "Accept: image/png, */*", *where)
        assert answer.status in (401, 403), answer
    assert await count(cluster, fenced) == before
    assert fenced.services.hub._number == opened


@attack("CSRF: a form or an image of another site, with the cookie")
@pytest.mark.parametrize("kind", FORMS)
async def test_no_form_publishes_even_from_the_own_site(cluster: Cluster, fenced: Running, kind: str) -> None:
    """A form needs no preflight; a subdomain that was taken over is the same site."""
    cookie = f"Cookie: __Host-slipstream={minted(cluster)}"
    before = await count(cluster, fenced)
    for site in ("same-site", "same-origin", "none"):
        answer = await call(
            fenced.server.port, PATH, cookie, kind, f"Sec-Fetch-Site: {site}", method="POST", body=EVENT
        )
        assert answer.status == 415, answer
    assert await count(cluster, fenced) == before


@attack("CSRF: a form or an image of another site, with the cookie")
async def test_a_cookie_of_another_name_is_none(cluster: Cluster, fenced: Running) -> None:
    """Without the prefix __Host- a subdomain, or plain HTTP, could set it (RFC 6265bis 4.1.3.2)."""
    for name in ("slipstream", "__Secure-slipstream", "__host-slipstream", " __Host-slipstream2"):
        cookie = f"Cookie: {name}={minted(cluster)}"
        answer = await call(fenced.server.port, "/v1/poll", cookie, "Sec-Fetch-Site: same-origin")
        assert answer.status == 401, name


@attack("* with credentials")
@pytest.mark.parametrize("origin", [APP, "https://evil.example", "null", "*"])
async def test_no_answer_shares_credentials_with_everybody(
    cluster: Cluster, running: Running, fenced: Running, origin: str
) -> None:
    await applied(cluster, fenced, cors={"origins": [APP], "credentials": True})
    for edge in (running, fenced):
        for method, path in (("GET", "/v1/poll"), ("OPTIONS", PATH), ("POST", PATH), ("PUT", PATH), ("GET", "/")):
            answer = await call(
                edge.server.port,
                f"{path}?tenant={cluster.tenant}",
                f"Origin: {origin}",
                "Access-Control-Request-Method: POST",
                method=method,
                body=b"" if method in ("POST", "PUT") else None,
            )
            allowed = answer.headers.get("access-control-allow-origin")
            if "access-control-allow-credentials" in answer.headers:
                assert allowed == origin == APP
            assert allowed in (None, "*", APP)
            assert "Origin" in answer.headers["vary"]


@attack("an answer taken for a page or a script")
async def test_no_answer_is_a_page(cluster: Cluster, running: Running) -> None:
    script = "<script>alert(1)</script>"
    await cluster.put("script", script.encode())
    # Quotes and angles in what is quoted back, too.
    port = running.server.port
    stream = await cluster.opened(port, "topic=script&since=earliest")
    answers = [
        await call(port, cluster.target("since=earliest&topic=script", "/v1/poll")),
        await call(port, cluster.target("topic=%3Cscript%3Ealert(1)%3C%2Fscript%3E")),
        await call(port, "/%3Cscript%3Ealert(1)%3C/script%3E"),
        await call(port, PATH, method="DELETE", body=b""),
        await call(port, cluster.target(), JSON, method="POST", body=script.encode()),
    ]
    for headers in (stream.head.headers, *(answer.headers for answer in answers)):
        assert headers["x-content-type-options"] == "nosniff"
        kind = headers["content-type"].partition(";")[0]
        assert kind in ("text/event-stream", "application/json", "application/problem+json")
    stream.wire.close()
