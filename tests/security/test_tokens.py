"""Tokens that are not what they say, at a real edge whose issuer can be watched."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt as pyjwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from slipstream.app import Running
from tests.integration.answers import problem
from tests.integration.cluster import Cluster
from tests.integration.guarded import KEY, OTHER, applied, bearer, get, minted, post
from tests.integration.wire import until
from tests.security.attacks import attack
from tests.tokens import JwksServer, b64, claims, hmac_token, jwk, rsa_key, token

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOPS = ("uvloop",)

POLL = "/v1/poll"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def evil() -> AsyncIterator[JwksServer]:
    """The attacker's server: it has a key set with the attacker's key, and nobody of ours may ever ask it."""
    async with JwksServer.serving(OTHER) as server:
        yield server


async def refused(running: Running, text: str, code: str = "UNAUTHORIZED") -> str:
    """What a token is told, on each road; the same on all."""
    answers = [
        await get(running, "", bearer(text), "Accept: text/event-stream"),
        await get(running, "refusal=stream", bearer(text)),
        await get(running, "", bearer(text), path=POLL),
        await post(running, text, {"topic": "a", "data": 1}),
    ]
    details = {problem(answer, 401, code) for answer in answers}
    assert len(details) == 1
    for answer in answers:
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert not any(part in answer.body.decode() for part in text.split(".") if len(part) > 8)
    return details.pop()


@attack("alg: none")
@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "none ", "", "null"])
async def test_no_signature_is_none(cluster: Cluster, fenced: Running, algorithm: str) -> None:
    says = b64(json.dumps(claims(tenant=cluster.tenant)).encode())
    for kid in (jwk(KEY)["kid"], "x"):
        head = b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
        for signature in ("", b64(b"\0" * 256), minted(cluster).rpartition(".")[2]):
            await refused(fenced, f"{head}.{says}.{signature}")


@attack("a public key taken for an HMAC secret")
async def test_a_public_key_signs_nothing(cluster: Cluster, fenced: Running) -> None:
    public = KEY.material.public_key()
    says = claims(tenant=cluster.tenant)
    secrets = [
        public.public_bytes(encoding, form)
        for encoding, form in (
            (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            (Encoding.PEM, PublicFormat.PKCS1),
            (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        )
    ]
    for secret in (*secrets, json.dumps(jwk(KEY)).encode(), b""):
        await refused(fenced, hmac_token(secret, says, kid=jwk(KEY)["kid"]))
        await refused(fenced, hmac_token(secret, says, kid=jwk(KEY)["kid"], alg="RS256"))


@attack("another algorithm than the issuer's")
async def test_another_key_or_algorithm_is_refused(cluster: Cluster, fenced: Running) -> None:
    says = claims(tenant=cluster.tenant)
    for header in ({"alg": "PS256"}, {"alg": "RS512"}, {"alg": "ES256"}, {"alg": "EdDSA"}, {"alg": ["RS256"]}):
        await refused(fenced, token(KEY, says, **header))
    await refused(fenced, token(OTHER, says, kid=jwk(KEY)["kid"]))
    await refused(fenced, token(OTHER, says, kid=jwk(KEY)["kid"], alg="RS256"))


@attack("jku, x5u, jwk, x5c, kid in the header")
async def test_a_key_that_a_token_brings_along_is_not_looked_at(
    cluster: Cluster, fenced: Running, keys: JwksServer, evil: JwksServer
) -> None:
    says = claims(tenant=cluster.tenant)
    for header in (
        {"jku": evil.url},
        {"x5u": evil.url},
        {"jwk": jwk(OTHER)},
        {"x5c": [b64(b"certificate")]},
        {"kid": evil.url},
        {"kid": "../../../../dev/null"},
        {"kid": "/proc/self/environ"},
        {"kid": "' UNION SELECT 'key'--"},
        {"kid": "x\0y"},
        {"kid": "k" * 3000},
        {"kid": jwk(KEY)["kid"], "jku": evil.url, "jwk": jwk(OTHER)},
        {"iss": "x", "crit": ["exp"]},
    ):
        await refused(fenced, token(OTHER, says, **{"alg": "ES256", **header}))
    assert evil.asked == []
    assert set(keys.asked) == {"/jwks.json"}


@attack("JWKS: file://, http://, a user in the URL")
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "http://kubernetes.default.svc/api",
        "http://[::ffff:a9fe:a9fe]/",
        "gopher://127.0.0.1:4222/",
        "ftp://127.0.0.1/",
        "https://user:password@id.example/jwks.json",
        "https://id.example@169.254.169.254/#x",
        "https:///jwks.json",
        "//id.example/jwks.json",
        "data:application/json,{}",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
    ],
)
async def test_a_document_that_points_elsewhere_is_no_document(cluster: Cluster, url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        await cluster.apply(issuers=[{"issuer": "own", "jwks_url": url}])


@attack("no exp, huge exp, exp as a string or a float")
@pytest.mark.parametrize(
    "exp",
    [
        None,
        2**31,
        10**18,
        str(2**31),
        "never",
        1e300,
        pytest.param(float(int(time.time()) + 60), id="with decimals"),
        True,
        [2**31],
        -1,
        0,
    ],
)
async def test_a_token_that_would_not_end(cluster: Cluster, fenced: Running, exp: Any) -> None:
    await refused(fenced, minted(cluster, exp=exp), "TOKEN_EXPIRED" if type(exp) is int and exp < 1 else "UNAUTHORIZED")


@attack("aud, iss, sub, nbf, iat, tenant that are wrong")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": None},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": {"slipstream": 1}},
        {"iss": None},
        {"iss": "https://id.example/"},
        {"iss": "https://ID.example"},
        {"iss": ["https://id.example"]},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 257},
        {"nbf": 2**31},
        {"iat": 2**31},
        {"iat": "yesterday"},
        {"tenant": None},
        {"tenant": ["acme"]},
        {"scope": ["subscribe"]},
        {"topics": ">"},
        {"topics": {"subscribe": ">"}},
        {"topics": {"subscribe": ["a..b"]}},
    ],
    ids=str,
)
async def test_a_claim_that_is_wrong(cluster: Cluster, fenced: Running, changes: dict[str, Any]) -> None:
    says = {**claims(tenant=cluster.tenant), **changes}
    await refused(fenced, token(KEY, {name: value for name, value in says.items() if value is not None}))


@attack("two credentials, half of one, megabytes of one")
async def test_credentials_that_are_not_one(cluster: Cluster, fenced: Running) -> None:
    good = minted(cluster)
    problem(await get(fenced, "", bearer(good), bearer(good)), 400, "BAD_REQUEST")
    problem(await get(fenced, "", f"Authorization: Bearer {good}, Bearer {good}"), 401, "UNAUTHORIZED")
    for line in ("Bearer", "Bearer ", "bearer\t" + good, "Basic " + good, good, "Bearer" + good, "Token " + good):
        problem(await get(fenced, "", f"Authorization: {line}"), 401, "UNAUTHORIZED")
    for extra in (f"{good}.", f".{good}", good.replace(".", ".."), good[:-1], good + "=", good.upper(), "x" * 15_000):
        problem(await get(fenced, "", bearer(extra)), 401, "UNAUTHORIZED")
    # What was refused is not helped by what a browser adds.
    same = "Sec-Fetch-Site: same-origin"
    answer = await get(fenced, "", bearer("x"), f"Cookie: __Host-slipstream={good}", same, path=POLL)
    problem(answer, 401, "UNAUTHORIZED")
    assert (await get(fenced, "", bearer(good), path=POLL)).status == 200


@attack("one token, two texts")
async def test_a_token_has_one_spelling(cluster: Cluster, fenced: Running) -> None:
    good = minted(cluster)
    head, body, signature = good.split(".")
    assert (await get(fenced, "", bearer(good), path=POLL)).status == 200
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # The last character of 256 bytes in base64 has unused bits.
    twin = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    for text in (f"{head}.{body}.{signature}=", f"{head}=.{body}.{signature}", f"{head}.{body}=.{signature}",
                 f"{head}.{body}.{twin}", f"{head}.{body}.{signature[:-4]}\t{signature[-4:]}"):  # fmt: skip
        answer = await get(fenced, "", bearer(text), path=POLL)
        assert answer.status == 401, text


@attack("a token in the URL")
async def test_a_token_in_the_url_is_the_tenants_choice(cluster: Cluster, fenced: Running) -> None:
    good = minted(cluster)
    for name in ("access_token", "token", "ticket", "authorization", "jwt"):
        problem(await get(fenced, f"{name}={good}", path=POLL), 401, "UNAUTHORIZED")
    await applied(cluster, fenced, access_token_in_url=True)
    answer = await get(fenced, f"access_token={good}", path=POLL)
    assert answer.status == 200
    # What the URL holds goes nowhere by a link, and no cache keeps what it opened.
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    await applied(cluster, fenced)


@attack("made-up kids")
async def test_made_up_kids_ask_the_issuer_once(cluster: Cluster, fenced: Running, keys: JwksServer) -> None:
    before = len(keys.asked)
    for number in range(30):
        text = token(rsa_key(7), claims(tenant=cluster.tenant), kid=f"made-up-{number}")
        problem(await get(fenced, "", bearer(text), path=POLL), 401, "UNAUTHORIZED")
    assert len(keys.asked) <= before + 1


@attack("a tenant's issuer that speaks for another tenant")
async def test_a_tenants_issuer_speaks_for_it_alone(cluster: Cluster, fenced: Running) -> None:
    """The attacker administers a tenant of the same cluster, and so an issuer."""
    await cluster.make("attacker", issuers=[{"issuer": "https://id.example", "keys": [jwk(OTHER)]}])
    await until(lambda: fenced.services.registry.get("attacker") is not None, "the attacker is known")
    says = claims(tenant=cluster.tenant)
    for changes in ({}, {"tenant": ["attacker", cluster.tenant]}, {"tenant": f"attacker\0{cluster.tenant}"}):
        await refused(fenced, token(OTHER, {**says, **changes}))
    own = token(OTHER, {**says, "tenant": "attacker"})
    assert (await get(fenced, "", bearer(own), path=POLL)).status == 200
    problem(await get(fenced, f"tenant={cluster.tenant}", bearer(own), path=POLL), 403, "FORBIDDEN")
    # Two claims of one name: whichever the parser takes, it is the signed one, and the issuer's own.
    body = json.dumps(says)[:-1] + ', "tenant": "attacker"}'
    twice = signed(OTHER, body)
    assert (await get(fenced, "", bearer(twice), f"X-Tenant-ID: {cluster.tenant}", path=POLL)).status in (401, 403)


def signed(key: Any, body: str) -> str:
    """A token around a body that no JSON library would write."""
    head = b64(json.dumps({"alg": key.algorithm, "kid": jwk(key)["kid"]}).encode())
    signing_input = f"{head}.{b64(body.encode())}"
    return (
        f"{signing_input}.{b64(pyjwt.get_algorithm_by_name(key.algorithm).sign(signing_input.encode(), key.material))}"
    )
