"""From text to token: what is believed, what is refused, what is remembered."""

import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from slipstream.auth.keyring import Keyring, SecretAbsent
from slipstream.auth.verify import TOKEN_BYTES, Verifier
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import Issuer
from tests.tokens import ISSUER, TENANT, b64, claims, ec_key, ed_key, hmac_token, jwk, rsa_key, token

NOW = 1_795_527_707.0
SECRET = b"0123456789abcdef0123456789abcdef"
KEYS = [jwk(rsa_key()), jwk(ec_key()), jwk(ed_key())]


class Desk:
    """A verifier whose tenants' issuers a test can change."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers = {one.issuer: one for one in issuers}
        self.fetched: list[str] = []
        self.verifier = Verifier(Keyring(self._fetch, self._secret, lambda: 0.0), self._of)

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
        return json.dumps({"keys": KEYS}).encode()

    def _secret(self, tenant: str, name: str) -> bytes:
        if (tenant, name) != (TENANT, "dev"):
            raise SecretAbsent("no such secret")
        return SECRET


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


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.auth.verify._REMEMBERED", 2)
    desk = public()
    texts = [token(ed_key(), says(jti=str(number))) for number in range(3)]
    for text in (*texts, texts[2], texts[0]):
        await desk.verify(text)
    assert desk.verifier.checked == 4
    assert len(desk.verifier._verified) == 2


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


async def test_a_long_token_is_not_even_parsed() -> None:
    long = token(rsa_key(), says(extra="x" * TOKEN_BYTES))
    assert "characters" in (await public().refused(long)).message


async def test_pyjwt_takes_what_we_take() -> None:
    """The tokens of these tests are made by hand: this says that they are tokens."""
    text = token(rsa_key(), claims())
    material = rsa_key().material.public_key()
    assert jwt.decode(text, material, algorithms=["RS256"], audience="slipstream")["sub"] == "ada"
