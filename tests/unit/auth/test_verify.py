"""From text to token: what is believed, what is refused, what is remembered."""

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any, get_args

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from slipstream.auth.decoy import decoy
from slipstream.auth.jwks import FRESH
from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import TOKEN_BYTES, Verifier
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import Algorithm, Issuer
from tests.tokens import ISSUER, TENANT, b64, claims, ec_key, ed_key, hmac_token, jwk, rsa_key, token

NOW = 1_795_527_707.0
SECRET = b"0123456789abcdef0123456789abcdef"
KEYS = [jwk(rsa_key()), jwk(ec_key()), jwk(ed_key())]


class Desk:
    """A verifier whose tenants' issuers a test can change."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers = {one.issuer: one for one in issuers}
        self.fetched: list[str] = []
        self.keys = KEYS
        self.secret = SECRET
        self.clock = 0.0
        self.verifier = Verifier(Keyring(self._fetch, self._secret, lambda: self.clock), self._of)

    async def verify(self, text: str, now: float = NOW) -> Any:
        return await self.verifier.verify(text, now)

    async def refused(self, text: str, code: Code = Code.UNAUTHORIZED, now: float = NOW) -> SlipstreamError:
        with pytest.raises(SlipstreamError) as caught:
            await self.verify(text, now)
        assert caught.value.code is code, caught.value
        assert not text or text not in caught.value.message
        return caught.value

    def _of(self, tenant: str) -> Mapping[str, Issuer]:
        return self.issuers if tenant == TENANT else {}

    async def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return json.dumps({"keys": self.keys}).encode()

    def _secret(self, tenant: str, name: str) -> bytes:
        if (tenant, name) != (TENANT, "dev"):
            raise SecretAbsent("no such secret")
        return self.secret


def holding(*keys: dict[str, Any], algorithms: tuple[str, ...] | None = None) -> Issuer:
    """An issuer whose document has its keys."""
    return Issuer.model_validate({"issuer": ISSUER, "keys": keys, "algorithms": algorithms})


def public() -> Desk:
    return Desk(holding(*KEYS))


def says(**changes: Any) -> dict[str, Any]:
    return claims(NOW, **changes)


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed_key()], ids=["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_tenants_issuer_is_taken(key: Any) -> None:
    assert (await public().verify(token(key, says()))).subject == "ada"


async def test_a_secret_makes_tokens_for_its_own_tenant() -> None:
    desk = Desk(Issuer(issuer=ISSUER, secret="dev"))
    assert (await desk.verify(hmac_token(SECRET, says()))).tenant == TENANT
    await desk.refused(hmac_token(b"x" * 32, says()))
    await desk.refused(hmac_token(SECRET, says(tenant="other")))


async def test_a_token_is_checked_once_and_remembered_until_it_ends() -> None:
    desk, text = public(), token(rsa_key(), says(iat=int(NOW), exp=int(NOW) + 100))
    for _ in range(50):
        await desk.verify(text, NOW + 99.9)
    assert desk.verifier.checked == 1
    await desk.refused(text, Code.TOKEN_EXPIRED, NOW + 100)
    await desk.refused(text, Code.TOKEN_EXPIRED, NOW + 101)


async def test_what_is_remembered_is_forgotten_when_the_issuer_changes() -> None:
    desk, text = public(), token(rsa_key(), says())
    await desk.verify(text)
    desk.issuers = {ISSUER: holding(jwk(ec_key()))}
    await desk.refused(text)
    desk.issuers = {}
    await desk.refused(text)


async def test_a_secret_that_was_changed_ends_the_tokens_of_the_old_one_at_once() -> None:
    desk, text = Desk(Issuer(issuer=ISSUER, secret="dev")), hmac_token(SECRET, says())
    await desk.verify(text)
    desk.secret = b"another secret that has 32 bytes"
    await desk.refused(text)
    await desk.verify(hmac_token(desk.secret, says()))
    desk.secret = SECRET
    await desk.verify(text)


async def test_a_key_that_its_issuer_took_back_ends_its_tokens_when_the_keys_are_read_again() -> None:
    desk, text = Desk(Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks")), token(rsa_key(), says())
    await desk.verify(text)
    desk.keys = [jwk(ec_key())]
    await desk.verify(text)
    desk.clock = FRESH
    await desk.verify(text)
    # The reading behind the scenes ends.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await desk.refused(text)
    assert len(desk.fetched) == 3, "and once more for the name that is not known any more"


async def test_keys_that_were_read_again_and_are_the_same_need_no_new_check() -> None:
    desk, text = Desk(Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks")), token(ec_key(), says())
    for _ in range(5):
        await desk.verify(text)
        await asyncio.sleep(0)
        desk.clock += FRESH
    assert len(desk.fetched) == 5
    assert desk.verifier.checked == 1


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.auth.verify._REMEMBERED", 2)
    desk = public()
    texts = [token(ed_key(), says(jti=str(number))) for number in range(3)]
    for text in (*texts, texts[2], texts[0]):
        await desk.verify(text)
    assert desk.verifier.checked == 4
    assert len(desk.verifier._verified) == 2


async def test_a_tenant_with_many_tokens_makes_no_other_ones_be_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.auth.verify._REMEMBERED", 4)
    desk = public()
    desk.verifier = Verifier(Keyring(desk._fetch, desk._secret, lambda: 0.0), lambda _: desk.issuers)
    quiet = token(ed_key(), says(tenant="quiet"))
    await desk.verify(quiet)
    for number in range(20):
        await desk.verify(token(ed_key(), says(jti=str(number))))
    before = desk.verifier.checked
    await desk.verify(quiet)
    assert desk.verifier.checked == before
    assert len(desk.verifier._verified) == 4


def unsigned(algorithm: str) -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": jwk(rsa_key())["kid"]}
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(says()).encode())}."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "RS256"])
async def test_a_token_without_a_signature_is_refused(algorithm: str) -> None:
    await public().refused(unsigned(algorithm))


async def test_a_public_key_is_no_secret() -> None:
    material = rsa_key().material.public_key()
    pem = material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), der, json.dumps(jwk(rsa_key())).encode(), b""):
        for kid in (jwk(rsa_key())["kid"], None):
            await public().refused(hmac_token(secret, says(), kid=kid))
            # Nor where the header says that it is signed as the issuer does.
            await public().refused(hmac_token(secret, says(), kid=kid, alg="RS256"))


async def test_the_algorithm_is_the_issuers_choice_not_the_tokens() -> None:
    desk = Desk(holding(*KEYS, algorithms=("ES256",)))
    assert await desk.verify(token(ec_key(), says()))
    await desk.refused(token(rsa_key(), says()))
    # The same key, another algorithm of its kind.
    bare = {name: value for name, value in jwk(rsa_key()).items() if name != "alg"}
    desk = Desk(holding(bare, algorithms=("PS256",)))
    await desk.refused(token(rsa_key(), says()))


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "http://127.0.0.1:1/jwks"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"jwk": {name: value for name, value in jwk(rsa_key(9)).items() if name != "kid"}},
        {"x5c": ["AAAA"]},
        {"kid": "../../../../dev/null"},
        {"kid": "http://127.0.0.1:1/jwks"},
        {"kid": "' UNION SELECT 'key'--"},
        {"kid": "x" * 5_000},
        {"kid": ""},
        {"kid": ["a"]},
        {"crit": ["exp"]},
        {"b64": False},
    ],
    ids=lambda header: f"{next(iter(header))}-{str(next(iter(header.values())))[:12]}",
)
async def test_a_header_that_points_to_a_key_leads_nowhere(header: dict[str, Any]) -> None:
    """Signed by a stranger's key, which the header offers or names."""
    desk = Desk(Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks"))
    await desk.refused(token(rsa_key(9), says(), **header))
    assert set(desk.fetched) <= {"https://id.example/jwks"}


@pytest.mark.parametrize("header", [{"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}])
async def test_where_the_key_is_right_such_a_header_is_not_looked_at(header: dict[str, Any]) -> None:
    assert await public().verify(token(rsa_key(), says(), **header))


@pytest.mark.parametrize(
    "changes",
    [{"aud": "other"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}, {"iss": 7}, {"sub": None},
     {"exp": None}, {"exp": "4102444800"}, {"exp": 10**12}, {"nbf": int(NOW) + 60}, {"iat": int(NOW) + 60},
     {"tenant": None}, {"tenant": "nobody"}, {"tenant": "../x"}, {"scope": 7}, {"topics": "*"}],
    ids=str,
)  # fmt: skip
async def test_a_good_signature_under_wrong_claims_is_refused(changes: dict[str, Any]) -> None:
    await public().refused(token(rsa_key(), says(**changes)))


async def test_a_token_that_has_ended_says_so_but_only_if_it_was_one() -> None:
    old = says(iat=int(NOW) - 100, exp=int(NOW) - 1)
    await public().refused(token(rsa_key(), old), Code.TOKEN_EXPIRED)
    await public().refused(token(rsa_key(), old)[:-8] + "AAAAAAAA")


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b", "a.b.c", "é.é.é", "\udce9.x.y", "x" * TOKEN_BYTES, "e30.e30.e30", "e30.W10.AA",
     "[" * 4000 + ".." , f"{b64(b'[]')}.{b64(b'{}')}.AA", f"{b64(b'{}')}.{b64(b'[' * 3000)}.AA"],
    ids=lambda text: ascii(text[:10]),
)  # fmt: skip
async def test_what_is_no_token_is_refused(text: str) -> None:
    await public().refused(text)


async def test_before_the_signature_is_right_nobody_learns_why_it_is_not() -> None:
    """Which tenants there are, whom they trust, with which algorithms and keys: it is all one answer."""
    desk = Desk(holding(jwk(rsa_key())))
    texts = [
        token(rsa_key(), says())[:-8] + "AAAAAAAA",
        token(rsa_key(9), says()),
        token(rsa_key(), says(tenant="nobody")),
        token(rsa_key(), says(iss="https://other.example")),
        token(ec_key(), says(exp=1)),
        hmac_token(SECRET, says(aud="other")),
        unsigned("none"),
    ]
    assert len({(await desk.refused(text)).message for text in texts}) == 1
    assert (await desk.refused(token(rsa_key(), says(aud="other")))).message != (await desk.refused(texts[0])).message


@pytest.mark.parametrize(
    "text",
    [
        token(rsa_key(9), says()),
        token(rsa_key(9), says(), kid="made-up"),
        token(rsa_key(9), says(), kid="x" * 200),
        token(rsa_key(9), says(tenant="nobody")),
        token(rsa_key(9), says(iss="https://other.example")),
        token(rsa_key(9), says(iss="https://other.example", tenant="nobody")),
        token(ec_key(9), says()),
        token(ec_key(9), says(tenant="nobody")),
        token(ed_key(9), says()),
        token(ed_key(9), says(tenant="nobody")),
        hmac_token(SECRET, says()),
        hmac_token(SECRET, says(tenant="nobody")),
        token(rsa_key(9), says(tenant="nobody"), alg="PS256"),
        token(rsa_key(9), says(), alg="PS384"),
        token(ec_key(9), says(), alg="ES512"),
    ],
    ids=itertools.count(),
)
async def test_each_refusal_costs_one_check_whether_or_not_there_is_such_a_tenant_issuer_or_key(text: str) -> None:
    """Time would tell otherwise. Of which kind the check is, is up to the token alone."""
    for desk in (public(), Desk(), Desk(Issuer(issuer=ISSUER, secret="dev")), Desk(Issuer(issuer=ISSUER, secret="no"))):
        if text == hmac_token(SECRET, says()) and desk.issuers and desk.issuers[ISSUER].secret == "dev":
            continue
        for count in (1, 2, 3):
            await desk.refused(text)
            assert desk.verifier.checked == count


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_there_is_a_key_that_nobody_has_for_every_algorithm_of_an_issuer(algorithm: str) -> None:
    key = decoy(algorithm)
    assert jwt.get_algorithm_by_name(algorithm).verify(b"text", key, b"x" * 64) is False
    assert decoy(algorithm) is key


async def test_nothing_stays_of_algorithms_that_somebody_made_up() -> None:
    desk = Desk()
    tracemalloc.start()
    try:
        for number in range(300):
            head = b64(json.dumps({"alg": f"{number}-{'x' * 4_000}"}).encode())
            await desk.refused(f"{head}.{b64(json.dumps(says()).encode())}.c2ln")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 300 * 4_000 / 2


async def test_a_token_that_is_signed_with_such_a_key_is_refused_like_any_other() -> None:
    for desk in (public(), Desk(), Desk(Issuer(issuer=ISSUER, secret="gone"))):
        for tenant in (TENANT, "nobody"):
            await desk.refused(hmac_token(decoy("HS256"), says(tenant=tenant)))
            assert desk.verifier.checked


@pytest.mark.parametrize("algorithm", ["none", "", "HS512", "ES256K"])
async def test_an_algorithm_that_no_issuer_can_have_is_refused_without_a_look_at_the_tenant(algorithm: str) -> None:
    for desk in (public(), Desk()):
        await desk.refused(token(rsa_key(), says(), alg=algorithm))
        assert desk.verifier.checked == 0


@pytest.mark.parametrize("extra", ["\n", "\r\n", "=", " ", "\x00", "!", "é"])
async def test_a_token_has_one_text(extra: str) -> None:
    """Python's base64 overlooks what is not of its alphabet; our callers' logs and headers may not."""
    desk, text = public(), token(rsa_key(), says())
    for written in (
        f"{text}{extra}",
        f"{text[:-4]}{extra}{text[-4:]}",
        f"{extra}{text}",
        text.replace(".", f"{extra}.", 1),
    ):
        await desk.refused(written)
    await desk.verify(text)


async def test_a_long_token_is_not_even_parsed() -> None:
    long = token(rsa_key(), says(extra="x" * TOKEN_BYTES))
    assert "characters" in (await public().refused(long)).message


async def test_pyjwt_takes_what_we_take() -> None:
    """The tokens of these tests are made by hand: this says that they are tokens."""
    text = token(rsa_key(), claims())
    material = rsa_key().material.public_key()
    assert jwt.decode(text, material, algorithms=["RS256"], audience="slipstream")["sub"] == "ada"


async def test_a_payload_that_is_not_the_one_in_the_token_is_refused() -> None:
    """RFC 7797: what is signed stands beside the token."""
    await public().refused(token(rsa_key(), says(), b64=False, crit=["b64"]))
    await public().refused(token(rsa_key(), says(), b64=False))


async def test_of_a_crowd_that_waits_for_the_keys_with_one_token_one_is_checked() -> None:
    desk = Desk(Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks"))
    text, reading = token(rsa_key(), says()), asyncio.Event()
    fetch = desk.verifier._keyring._fetch

    async def slow(url: str) -> bytes:
        await reading.wait()
        return await fetch(url)

    desk.verifier._keyring._fetch = slow
    crowd = [asyncio.create_task(desk.verify(text)) for _ in range(200)]
    await asyncio.sleep(0)
    reading.set()
    assert {one.subject for one in await asyncio.gather(*crowd)} == {"ada"}
    assert desk.verifier.checked == 1
    assert len(desk.fetched) == 1
