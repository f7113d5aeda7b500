import gzip
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.frames import FrameError
from tests.proof.wire import Body, Cut

BLOCKS = [b"id: 1\ndata: a\n\n", b"x", b"\r\n\r\n", b"0123456789" * 40]
WIRE = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in BLOCKS) + b"0\r\n\r\n"


def chunked(octets: int | None = None) -> Body:
    body = Body(octets)
    body.chunked = True
    return body


@given(st.lists(st.integers(0, len(WIRE)), max_size=20))
def test_chunks_cut_anywhere_give_the_body(cuts: list[int]) -> None:
    body, edges = chunked(), sorted({0, len(WIRE), *cuts})
    assert b"".join(body.feed(WIRE[begin:end]) for begin, end in pairwise(edges)) == b"".join(BLOCKS)
    assert body.ended


@given(st.integers(1, 460), st.integers(1, 50))
def test_nothing_comes_beyond_the_cut(octets: int, step: int) -> None:
    body = chunked(octets)
    got = b"".join(body.feed(WIRE[at : at + step]) for at in range(0, len(WIRE), step))
    assert got == b"".join(BLOCKS)[:octets]
    assert body.spent == (octets <= len(b"".join(BLOCKS)))


def test_identity_is_passed_through_and_frame_ends_are_known() -> None:
    body = Body(None)
    assert body.feed(b"data: a\n\nda") == b"data: a\n\nda"
    assert not body.at_frame_end
    body.feed(b"ta: b\n\n")
    assert body.at_frame_end


def test_cuts_of_every_kind_are_drawn() -> None:
    cuts = [Cut.draw(random.Random(seed)) for seed in range(300)]
    assert any(cut == Cut() for cut in cuts)
    assert {cut.reset for cut in cuts if cut.octets} == {True, False}
    assert {cut.reset for cut in cuts if cut.events} == {True, False}
    assert min(cut.octets for cut in cuts if cut.octets) < 10
    assert max(cut.octets for cut in cuts if cut.octets) > 50_000


def test_torn_framing_is_an_error() -> None:
    with pytest.raises(FrameError, match="no chunk size"):
        chunked().feed(b"3\r\nabc\r\ndata: x\r\n")


ZIPPED = gzip.compress(b"".join(BLOCKS))


@given(st.lists(st.integers(0, len(ZIPPED)), max_size=20))
def test_gzip_cut_anywhere_gives_the_body(cuts: list[int]) -> None:
    body, edges = Body(None), sorted({0, len(ZIPPED), *cuts})
    body.inflate()
    assert body.gzip
    assert b"".join(body.feed(ZIPPED[begin:end]) for begin, end in pairwise(edges)) == b"".join(BLOCKS)


def test_a_cut_counts_the_octets_of_gzip() -> None:
    body = Body(len(ZIPPED) - 1)
    body.inflate()
    body.feed(ZIPPED[:-1])
    assert body.spent


def test_what_is_no_gzip_is_an_error() -> None:
    body = Body(None)
    body.inflate()
    with pytest.raises(FrameError, match="no gzip"):
        body.feed(b"data: a\n\n")
