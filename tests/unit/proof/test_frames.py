from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import sse
from tests.proof.frames import FrameError, Frames

STREAM = (
    b'retry: 1500\n\nid: k3m9x2ab-0\nevent: stream.ready\ndata: {"heartbeat_ms":15000}\n\n: beat\n\n:\n\n'
    b"id: k3m9x2ab-1-1x\nevent: quake\ndata: {\ndata: \xe2\x80\xa8\xc3\xa9\ndata: }\n\nid: k3m9x2ab-2-1x\ndata: \n\n"
    b"retry: 20\nevent: stream.drain\ndata: {}\n\nevent: error\ndata: {}\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_cut_anywhere_it_agrees_with_a_browser(cuts: list[int]) -> None:
    frames = Frames()
    edges = sorted({0, len(STREAM), *cuts})
    got = [event for begin, end in pairwise(edges) for event in frames.feed(STREAM[begin:end])]
    assert [(one.id, one.event, one.data) for one in got] == [
        (one.id, one.event, one.data) for one in sse.Parser().feed(STREAM)
    ]
    assert len(got) == 5


@pytest.mark.parametrize(
    "frame",
    [
        b"data: a\r\n\r\ndata: b\n\n",
        b"id: 1\0\ndata: a\n\n",
        b"event: a\0\ndata: a\n\n",
        b"data: \xff\n\n",
        b"data:a\n\n",
        b"id: \ndata: a\n\n",
        b"id: 1\nid: 2\ndata: a\n\n",
        b"event: a\nevent: b\ndata: a\n\n",
        b"foo: bar\ndata: a\n\n",
        b"retry: soon\n\n",
        b"id: 1\n\n",
        b"event: stream.checkpoint\n\n",
        b"\ndata: a\n\n",
    ],
)
def test_what_the_contract_does_not_write_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        Frames().feed(frame)
