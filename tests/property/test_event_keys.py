"""Ids with keys: the same event has the same id everywhere, and its position comes back out of it."""

import re
import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from slipstream.protocol.event import Record
from slipstream.protocol.position import ID_MAX, Position, format_id, mark_of
from slipstream.shape import key
from slipstream.shape.event import Event
from slipstream.shape.shaper import Shaper, make_shaper
from slipstream.tenants import Tenant, TenantSpec
from slipstream.tenants.shaping import EventKey

FEW = settings(derandomize=True, deadline=None, max_examples=200, database=None)
FACTORIES = {"sequence": key.sequence, "uuid": key.uuid, "timestamp": key.timestamp, "key": key.key, "auto": key.auto}

epochs = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=8)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=256)
tidy = st.text(st.sampled_from("abXY09._-"), min_size=1, max_size=120)
keys = names | tidy | st.builds("{}--{}".format, tidy, st.text(st.sampled_from("aZ0-_"), min_size=16, max_size=16))
records = st.builds(
    Record,
    seq=st.integers(1, 2**64 - 1),
    time_ms=st.integers(0, 2**45),
    topic=st.just("orders.new"),
    event=st.just(""),
    data=st.just(b"{}"),
    key=st.none() | keys,
)
specs = st.builds(
    EventKey,
    strategy=st.sampled_from(sorted(FACTORIES)),
    prefix=st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True),
)


def shaper(spec: EventKey, *, ordered: bool) -> Shaper:
    tenant = Tenant.of("acme", TenantSpec(event_key=spec, ordered=ordered))
    return make_shaper(tenant, lambda _tenant, _name: b"", {}, FACTORIES)


def id_of(made: Shaper, record: Record, epoch: str) -> str:
    event = made.outcome(record, epoch, made.plain)
    assert isinstance(event, Event)
    assert not made.counts
    return event.id


@FEW
@given(specs, st.booleans(), records, epochs)
def test_every_pod_gives_an_event_the_same_id_and_it_leads_back(
    spec: EventKey,
    ordered: bool,  # noqa: FBT001 - drawn
    record: Record,
    epoch: str,
) -> None:
    text = id_of(shaper(spec, ordered=ordered), record, epoch)
    # Another pod, another day: the record is read again, as bytes and headers.
    again = Record(record.seq, record.time_ms, record.topic, record.event, bytes(record.data), record.key)
    assert id_of(shaper(spec, ordered=ordered), again, epoch) == text
    assert Position.parse(text) == Position(epoch, record.seq, mark_of(record.time_ms))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", text)


@FEW
@given(keys, keys)
def test_keys_that_differ_never_become_the_same_text(one: str, other: str) -> None:
    assume(unicodedata.normalize("NFKC", one).strip() != unicodedata.normalize("NFKC", other).strip())
    assert key.readable(one) != key.readable(other)


@FEW
@given(keys)
def test_a_key_cannot_be_chosen_to_look_like_the_text_of_another(one: str) -> None:
    text = key.readable(one)
    assume(text is not None and text != unicodedata.normalize("NFKC", one).strip())
    assert text is not None
    assert key.fits(text)
    assert key.readable(text) != text


@FEW
@given(keys)
def test_spelling_that_only_looks_different_makes_no_difference(one: str) -> None:
    assert key.readable(f"  {unicodedata.normalize('NFKC', one)} ") == key.readable(one)


@FEW
@given(st.text(st.sampled_from("abcXYZ019._"), min_size=1, max_size=90))
def test_a_key_that_fits_is_read_as_it_is(one: str) -> None:
    assert key.readable(one) == one


def test_the_longest_key_fits_behind_the_longest_position() -> None:
    longest = "k" * key.KEY_MAX
    text = format_id("abcdefgh", 2**64 - 1, 2**32 - 1, longest)
    assert text.endswith(longest)
    assert len(text) == ID_MAX


@pytest.mark.parametrize("strategy", ["uuid", "timestamp"])
def test_events_of_one_log_have_different_keys(strategy: str) -> None:
    made = FACTORIES[strategy]({"prefix": None, "ordered": False})
    # The same millisecond, and the same sequence in another log.
    texts = [made(Record(seq, 7, "a", "", b""), epoch) for seq in range(1, 200) for epoch in ("abcdefgh", "abcdefgi")]
    assert len(set(texts)) == (len(texts) if strategy == "uuid" else 199)
