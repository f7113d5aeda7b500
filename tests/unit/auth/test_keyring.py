"""Where keys come from: one reading for all who wait, and none of their troubles for the others."""

import asyncio
import json
from typing import Any

import pytest

from slipstream.auth.jwk import KeySet
from slipstream.auth.jwks import COOLDOWN, FRESH
from slipstream.auth.keyring import FetchError, Keyring, SecretAbsent
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import Issuer
from tests.tokens import ISSUER, ec_key, jwk

REMOTE = Issuer(issuer=ISSUER, jwks_url="https://id.example/jwks")
SECRET = Issuer(issuer=ISSUER, secret="dev")
KID = jwk(ec_key())["kid"]


class Web:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = [ec_key()]
        self.fault: Exception | None = None
        self.secret = b"s" * 32
        self.keyring = Keyring(self.fetch, self.secret_of, lambda: self.now)

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return json.dumps({"keys": [jwk(key) for key in self.keys]}).encode()

    def secret_of(self, tenant: str, name: str) -> bytes:
        if not self.secret:
            raise SecretAbsent("put it there")
        return self.secret

    async def find(self, kid: str | None = KID, issuer: Issuer = REMOTE) -> Any:
        return await self.keyring.find(issuer, "acme", kid, "HS256" if issuer.secret else "ES256")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_come_at_once_share_one_reading() -> None:
    web = Web()
    web.gate.clear()
    waiting = [asyncio.create_task(web.find()) for _ in range(100)]
    await settle()
    waiting[0].cancel()
    web.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError), "who leaves takes the keys from nobody"
    assert not any(isinstance(one, BaseException) for one in found[1:])
    assert web.asked == 1


async def test_a_reading_behind_the_scenes_keeps_nobody_waiting() -> None:
    web = Web()
    await web.find()
    web.now = FRESH
    web.gate.clear()
    await web.find()
    await settle()
    assert web.asked == 2
    await web.find()
    await web.keyring.close()
    assert web.asked == 2


@pytest.mark.parametrize("fault", [FetchError("away"), ValueError("no keys")])
async def test_an_issuer_that_is_away_is_503_until_it_is_back(fault: Exception) -> None:
    web = Web()
    web.fault = fault
    for _ in range(3):
        with pytest.raises(SlipstreamError) as caught:
            await web.find()
        assert caught.value.code is Code.UPSTREAM_UNAVAILABLE
        assert caught.value.retry_after == COOLDOWN
    assert web.asked == 1
    web.fault, web.now = None, COOLDOWN
    await web.find()


async def test_a_fault_of_our_own_does_not_stop_the_readings_for_ever() -> None:
    web = Web()
    web.fault = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        await web.find()
    web.fault, web.now = None, COOLDOWN
    await web.find()


async def test_after_a_fault_of_our_own_known_keys_are_read_again_too() -> None:
    web = Web()
    await web.find()
    for fault, now in ((RuntimeError("broken"), FRESH), (None, FRESH + COOLDOWN)):
        web.fault, web.now = fault, now
        assert await web.find()
        await settle()
    assert web.asked == 3


async def test_who_waited_for_a_reading_of_others_does_not_cause_another_one() -> None:
    web = Web()
    await web.find()
    web.now = FRESH
    web.gate.clear()
    await web.find()
    waiting = asyncio.create_task(web.find("made-up"))
    await settle()
    web.gate.set()
    assert await waiting is None
    assert web.asked == 2


async def test_made_up_names_cost_one_reading() -> None:
    web = Web()
    await web.find()
    for number in range(20):
        assert await web.find(f"made-up-{number}") is None
    assert web.asked == 2
    assert await web.find("x" * 129) is None


async def test_a_key_that_is_new_is_found_at_once() -> None:
    web = Web()
    await web.find()
    web.keys = [ec_key(1)]
    assert await web.find(jwk(ec_key(1))["kid"])
    assert web.asked == 2


async def test_a_token_that_names_no_key_may_have_the_only_one() -> None:
    web = Web()
    assert await web.find(None) is not None
    assert await web.find(None, inline(1)) is not None


async def test_an_issuer_that_gives_way_to_another_one_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.auth.keyring._URLS_MAX", 1)
    web = Web()
    for url in ("https://id.example/jwks", "https://other.example/jwks", "https://id.example/jwks"):
        assert await web.find(issuer=Issuer(issuer=ISSUER, jwks_url=url)) is not None
    assert web.asked == 3


async def test_keys_of_a_document_that_are_of_no_use_are_told(caplog: pytest.LogCaptureFixture) -> None:
    web = Web()
    assert await web.find(None, inline(1)) is not None
    assert not caplog.records
    encrypting = {**jwk(ec_key(2)), "use": "enc"}
    issuer = Issuer.model_validate({"issuer": ISSUER, "keys": [jwk(ec_key(1)), encrypting]})
    for _ in range(2):
        assert await web.find(jwk(ec_key(1))["kid"], issuer) is not None
    assert [record.getMessage() for record in caplog.records] == [
        f"issuer {ISSUER}: some of its keys are of no use for signatures and are left out"
    ]


async def test_a_secret_that_is_absent_or_short_is_told_to_the_operator_alone(caplog: pytest.LogCaptureFixture) -> None:
    web = Web()
    assert await web.find(issuer=SECRET) == web.secret
    for secret in (b"", b"short"):
        web.secret = secret
        caplog.clear()
        for _ in range(2):
            assert await web.find(issuer=SECRET) is None
        web.secret = b"s" * 32
        assert await web.find(issuer=SECRET)
        assert len(caplog.records) == 1
        assert "short" not in caplog.text


def inline(number: int, name: str = ISSUER) -> Issuer:
    return Issuer.model_validate({"issuer": name, "keys": [jwk(ec_key(number))]})


class Parsed:
    """Counts how often the keys of a document are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr("slipstream.auth.keyring.KeySet", self)

    def __call__(self, keys: Any) -> KeySet:
        self.count += 1
        return KeySet(keys)


async def test_issuers_of_one_name_of_two_tenants_are_each_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    web, parsed = Web(), Parsed(monkeypatch)
    one, other = inline(1), inline(2)
    for _ in range(10):
        for issuer, key, stranger in ((one, ec_key(1), ec_key(2)), (other, ec_key(2), ec_key(1))):
            assert await web.find(jwk(key)["kid"], issuer) is not None
            assert await web.find(jwk(stranger)["kid"], issuer) is None
    assert parsed.count == 2


async def test_documents_of_before_do_not_pile_up_and_none_is_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slipstream.auth.keyring._URLS_MAX", 4)
    web, parsed = Web(), Parsed(monkeypatch)
    # What was forgotten may be somewhere else in memory, and another issuer in its place: by turns, and each once gone.
    for number in range(40):
        issuer = inline(number % 3)
        assert await web.find(jwk(ec_key(number % 3))["kid"], issuer) is not None
        assert await web.find(jwk(ec_key((number + 1) % 3))["kid"], issuer) is None
        assert len(web.keyring._inline) <= 4
        del issuer
    assert parsed.count == 40
    assert all(key == id(issuer) for key, (issuer, _) in web.keyring._inline.items()), "each is alive"


async def test_who_waits_for_keys_that_are_given_up_meanwhile_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipstream.auth.keyring._URLS_MAX", 1)
    web = Web()
    web.gate.clear()
    waiting = [asyncio.create_task(web.find()) for _ in range(3)]
    await settle()
    other = asyncio.create_task(web.find(issuer=Issuer(issuer=ISSUER, jwks_url="https://other.example/jwks")))
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [one.code for one in told if isinstance(one, SlipstreamError)] == [Code.UPSTREAM_UNAVAILABLE] * 3, told
    web.gate.set()
    assert await other is not None
    await web.keyring.close()
