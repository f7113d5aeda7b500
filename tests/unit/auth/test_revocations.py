"""What a revocation refuses, how it is stored, and when it is forgotten."""

from typing import Any

import orjson
import pytest

from slipstream.auth.claims import EVERYTHING, LEEWAY, Token
from slipstream.auth.keyring import Keyring
from slipstream.auth.revocations import Kind, Revocation, Revocations, hash_of, key_of, read_revocation
from slipstream.auth.verify import Verifier
from slipstream.protocol.errors import Code, SlipstreamError
from slipstream.tenants.issuer import LIFETIME_MAX, Issuer
from tests.tokens import ISSUER, claims, ec_key, jwk, token

AT = 1_795_527_707


def token_of(subject: str = "ada", tenant: str = "acme", issued_at: int = AT, id_: str | None = None) -> Token:
    return Token(subject, tenant, frozenset(), EVERYTHING, (), issued_at + 60, issued_at + 50, id_, ISSUER, issued_at)


def with_(*revocations: Revocation) -> Revocations:
    table = Revocations()
    for one in revocations:
        table.put(one)
    return table


def test_a_subject_is_refused_until_the_second_of_its_revocation_and_comes_again_later() -> None:
    table = with_(Revocation.of("acme", Kind.SUBJECT, "ada", AT + 0.9))
    assert table.revoked(token_of(issued_at=AT))
    assert table.revoked(token_of(issued_at=0)), "without iat"
    assert not table.revoked(token_of(issued_at=AT + 1))
    assert not table.revoked(token_of("grace"))
    assert not table.revoked(token_of(tenant="other"))


def test_a_token_is_refused_for_good_and_no_other() -> None:
    table = with_(Revocation.of("acme", Kind.TOKEN, "t-1", AT))
    assert table.revoked(token_of(issued_at=AT + 20, id_="t-1"))
    assert not table.revoked(token_of(issued_at=AT - 20, id_="t-2"))
    assert not table.revoked(token_of(issued_at=AT - 20))
    assert not table.revoked(token_of(tenant="other", id_="t-1"))


def test_a_tenant_is_refused_whole() -> None:
    table = with_(Revocation.of("acme", Kind.TENANT, "acme", AT))
    assert table.revoked(token_of("grace", issued_at=AT, id_="t-1"))
    assert not table.revoked(token_of("grace", issued_at=AT + 1))
    assert not table.revoked(token_of(tenant="other"))


@pytest.mark.parametrize(("kind", "name"), [(Kind.SUBJECT, "ada"), (Kind.TOKEN, "t-1"), (Kind.TENANT, "acme")])
def test_what_was_taken_back_is_good_again_and_what_else_is_revoked_is_not(kind: Kind, name: str) -> None:
    one, other = Revocation.of("acme", kind, name, AT), Revocation.of("acme", Kind.SUBJECT, "grace", AT)
    table = with_(one, other)
    assert table.get(one.key) == one
    table.remove(one.key)
    table.remove(one.key)
    assert table.get(one.key) is None
    assert not table.revoked(token_of(id_="t-1"))
    assert table.revoked(token_of("grace"))
    table.remove(other.key)
    assert (len(table), table.count("acme"), table.newest("acme", 9)) == (0, 0, [])
    assert not table._tenants, "nothing stays of a tenant without revocations"


def test_all_are_replaced_at_once_and_then_it_is_loaded() -> None:
    old, new = (Revocation.of("acme", Kind.SUBJECT, name, AT) for name in ("ada", "grace"))
    table = with_(old)
    assert not table.loaded
    table.replace({new.key: new})
    assert table.loaded
    assert (table.revoked(token_of("ada")), table.revoked(token_of("grace"))) == (False, True)


def test_the_newest_are_listed_first() -> None:
    made = [Revocation.of("acme", Kind.SUBJECT, str(number), AT + number) for number in range(5)]
    table = with_(*made)
    again = made[0]._replace(at=AT + 9)
    table.put(again)
    assert table.newest("acme", 3) == [again, made[4], made[3]]
    assert table.count("acme") == len(table) == 5
    assert table.newest("other", 3) == []


def test_it_is_forgotten_when_no_token_concerned_can_be_good() -> None:
    early, late = (Revocation.of("acme", Kind.SUBJECT, name, at) for name, at in (("ada", AT), ("grace", AT + 5)))
    assert early.until == AT + LIFETIME_MAX + LEEWAY
    table = with_(late, early)
    table.expire(early.until - 1)
    assert len(table) == 2
    table.expire(early.until)
    assert table.newest("acme", 9) == [late]
    table.expire(late.until)
    assert len(table) == 0


@pytest.mark.parametrize("name", ["ada", "a/b *>", "é" * 256, "\x00"])
def test_it_is_read_as_it_was_written(name: str) -> None:
    one = Revocation.of("acme", Kind.SUBJECT, name, AT, "laptop lost")
    assert read_revocation(one.key, one.to_json()) == one
    assert one.key == key_of("acme", Kind.SUBJECT, hash_of(name))
    assert one.document()["hash"] == hash_of(name) == one.key.split(".")[2]


def test_where_it_stands_is_the_same_for_every_version() -> None:
    assert key_of("acme", Kind.SUBJECT, hash_of("ada")) == "acme.subject.fdee430d40bd57deeac186cd9790033d"


GOOD = Revocation.of("acme", Kind.SUBJECT, "ada", AT)


@pytest.mark.parametrize(
    "changes",
    [{"at": "1"}, {"at": True}, {"until": 1.5}, {"kind": "pod"}, {"name": 7}, {"name": "grace"}, {"tenant": "other"},
     {"more": 1}, {"reason": None}, {"kind": "tenant"}],
    ids=str,
)  # fmt: skip
def test_what_is_no_revocation_is_refused(changes: dict[str, Any]) -> None:
    key = key_of("acme", Kind.TENANT, hash_of("ada")) if changes.get("kind") == "tenant" else GOOD.key
    with pytest.raises(ValueError, match=r".+"):
        read_revocation(key, orjson.dumps({**GOOD._asdict(), **changes}))
    for data in (b"", b"[]", b"\xff", b"{}"):
        with pytest.raises(ValueError, match=r".+"):
            read_revocation(GOOD.key, data)


async def test_a_remembered_token_is_asked_about_too() -> None:
    async def no_fetch(url: str) -> bytes:
        raise AssertionError(url)

    def no_secret(tenant: str, name: str) -> bytes:
        raise AssertionError(tenant, name)

    key, table = ec_key(), Revocations()
    issuer = Issuer.model_validate({"issuer": ISSUER, "keys": [jwk(key)]})
    keyring = Keyring(no_fetch, no_secret, lambda: 0.0)
    verifier = Verifier(keyring, lambda _: {ISSUER: issuer}, table.revoked)
    text = token(key, claims(AT, jti="t-1"))
    await verifier.verify(text, AT)
    one = Revocation.of("acme", Kind.TOKEN, "t-1", AT)
    table.put(one)
    for now in (AT, AT + 1):
        with pytest.raises(SlipstreamError, match="revoked") as refused:
            await verifier.verify(text, now)
        assert refused.value.code is Code.UNAUTHORIZED
    table.remove(one.key)
    assert (await verifier.verify(text, AT)).id == "t-1"
    assert verifier.checked == 1
