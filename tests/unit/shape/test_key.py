"""The event keys, one by one."""

import uuid

import pytest

from slipstream.protocol.event import Record
from slipstream.shape import key

EPOCH = "abcdefgh"


def record(business_key: str | None = None) -> Record:
    return Record(1042, 1_700_000_000_000, "orders.new", "", b"{}", key=business_key)


def test_sequence_adds_nothing() -> None:
    strategy = key.sequence({})
    assert strategy is key.no_key
    assert strategy(record("order-1"), EPOCH) is None


def test_uuid_is_version_5_of_epoch_and_sequence_and_anybody_can_compute_it() -> None:
    text = key.uuid({})(record("order-1"), EPOCH)
    assert text == str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, "slipstream.dev"), "abcdefgh-1042"))
    assert text == "88c13cff-e459-5a6d-ba2a-c7640ad604d0"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"prefix": "ord"}, "ord-1700000000000-1042"),
        ({"prefix": None}, "1700000000000-1042"),
        ({}, "1700000000000-1042"),
    ],
)
def test_timestamp_is_prefix_time_and_sequence(config: dict[str, object], text: str) -> None:
    assert key.timestamp(config)(record("order-1"), EPOCH) == text


@pytest.mark.parametrize(
    ("business_key", "text"),
    [
        ("order-1", "order-1"),
        (" Order-1\u3000", "Order-1"),
        ("\uff2frder-1", "Order-1"),  # a full-width O
        ("order 1/a", "order-1-a--YjqPXvXfwxsVqhOK"),
        ("M\u00fcller & S\u00f6hne", "Muller-Sohne--bZopvXc3dch4TKCC"),
        ("\u8ba2\u5355 12345", "12345--h_KDRUoImST4twDL"),
        ("\u8ba2\u5355", "key--PVQ26iPS6aI-zuz0"),
        ("x" * 90, "x" * 90),
        ("x" * 91, "x" * 72 + "--h7iOThS7p8RCkYOh"),
        ("order--AAAAAAAAAAAAAAAA", "order-AAAAAAAAAAAAAAAA--dm7KHDX4Hf8H6Chc"),
        (None, None),
        ("\u3000", None),
    ],
)
def test_key_is_the_producers_own_as_far_as_an_id_can_carry_it(business_key: str | None, text: str | None) -> None:
    assert key.key({})(record(business_key), EPOCH) == text


def test_auto_takes_the_key_else_the_time_where_order_matters_else_a_uuid() -> None:
    for ordered in (True, False):
        assert key.auto({"prefix": None, "ordered": ordered})(record("order-1"), EPOCH) == "order-1"
    for without in (record(), record("\u3000")):
        assert key.auto({"prefix": "o", "ordered": True})(without, EPOCH) == "o-1700000000000-1042"
        assert key.auto({"prefix": "o", "ordered": False})(without, EPOCH) == key.uuid({})(without, EPOCH)


@pytest.mark.parametrize("wrong", ["", "a b", "\u00fc", "x" * 91, "a\n", 7, None, b"a"])
def test_what_an_id_cannot_carry_does_not_fit(wrong: object) -> None:
    assert not key.fits(wrong)
