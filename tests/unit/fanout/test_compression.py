"""Blocks that do not refer to one another: any of them is right behind any other, for whoever has had the header."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from slipstream.demo import earthquakes
from slipstream.fanout.compression import GZIP_HEADER, deflated, stored


def _inflate(*blocks: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(GZIP_HEADER + b"".join(blocks))


def _quakes(first: int, count: int) -> bytes:
    lines = [str(event["data"]).encode() for event in earthquakes()]
    return b"\n".join(lines[first : first + count])


def test_a_reader_may_join_at_any_block() -> None:
    texts = [_quakes(number, 12) for number in range(0, 60, 12)]
    blocks = [deflated(text) for text in texts]
    for first in range(len(blocks)):
        assert _inflate(*blocks[first:]) == b"".join(texts[first:])
    assert _inflate(blocks[3], stored(b"in between"), blocks[1]) == texts[3] + b"in between" + texts[1]


def test_ten_real_events_shrink_to_less_than_half() -> None:
    text = _quakes(0, 10)
    assert len(deflated(text)) < len(text) / 2


def test_what_is_too_little_is_stored() -> None:
    assert deflated(b"x" * 100) == stored(b"x" * 100)
    assert len(deflated(b"x" * 5_000)) < 100


@given(st.lists(st.binary(max_size=3_000), max_size=6))
def test_every_block_is_whole_when_its_last_byte_has_come(parts: list[bytes]) -> None:
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(GZIP_HEADER) == b""
    for number, part in enumerate(parts):
        assert reader.decompress(stored(part) if number % 2 else deflated(part)) == part


def test_a_stored_block_larger_than_one_deflate_block_can_be() -> None:
    data = bytes(range(256)) * 1_000
    assert _inflate(stored(data)) == data


def test_a_block_ends_as_a_flush_does() -> None:
    # Go's reader (Caddy, Traefik) hands out what it has at an empty stored block, and nowhere else.
    empty = b"\x00\x00\xff\xff"
    assert stored(b"one").endswith(empty)
    assert deflated(b"two" * 1_000).endswith(empty)
