"""Counting survives every split of the bytes; inspection tells order, loss and latency."""

import random

import pytest

from loadtest.tally import Findings
from loadtest.wire import MARKER, Dechunker, FrameCounter, MalformedBody, MarkerCounter, StreamInspector
from slipstream.protocol.frame import LAST_CHUNK, chunk, comment, encode

READY = encode("abcdefgh-10", "stream.ready", b'{"stream":"s","tenant":"bench","topics":["flights.>"]}')


def event(seq: int, at_ns: int = 0, epoch: str = "abcdefgh") -> bytes:
    return encode(f"{epoch}-{seq}-1kz", "delayed", b'{"t":%d,"topic":"flights.HNL.SFO","delay":95}' % at_ns)


def pieces(data: bytes, count: int) -> list[bytes]:
    cuts = sorted(random.sample(range(1, len(data)), count - 1))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def receive(counter: MarkerCounter, stream: int, data: bytes) -> int:
    counter.window[: len(data)] = data
    return counter.count(stream, len(data))


def test_a_marker_is_found_wherever_two_reads_split_it() -> None:
    data = chunk(event(11)) + chunk(event(12)) + chunk(event(13))
    for cut in range(1, len(data)):
        counter = MarkerCounter()
        assert receive(counter, 5, data[:cut]) + receive(counter, 5, data[cut:]) == 3, data[:cut]


def test_a_marker_is_found_in_reads_of_one_byte() -> None:
    counter = MarkerCounter()
    data = chunk(event(11) + event(12))
    assert sum(receive(counter, 5, data[at : at + 1]) for at in range(len(data))) == 2


def test_streams_with_split_markers_do_not_disturb_one_another() -> None:
    counter = MarkerCounter()
    streams = {number: pieces(chunk(event(11) + event(12)) * 5, 40) for number in range(20)}
    counted = dict.fromkeys(streams, 0)
    while waiting := [number for number, left in streams.items() if left]:
        number = random.choice(waiting)
        counted[number] += receive(counter, number, streams[number].pop(0))
    assert set(counted.values()) == {10}


def test_control_frames_and_comments_are_not_counted() -> None:
    data = chunk(READY) + chunk(comment()) + chunk(encode("abcdefgh-12", "stream.checkpoint", b"{}")) + chunk(event(13))
    assert receive(MarkerCounter(), 1, data) == 1


def test_a_stream_that_ended_leaves_nothing_to_the_next_with_its_number() -> None:
    counter = MarkerCounter()
    receive(counter, 7, MARKER[:-1])
    counter.forget(7)
    assert receive(counter, 7, MARKER[-1:]) == 0


@pytest.mark.parametrize("marker", [b"", b"\n", b"x\ny"])
def test_a_marker_over_two_lines_is_refused(marker: bytes) -> None:
    with pytest.raises(ValueError, match="within one line"):
        MarkerCounter(marker)


def test_a_body_in_chunks_comes_out_whole_however_it_was_split() -> None:
    blocks = [READY, event(11), event(12) + event(13), comment()]
    body = b"".join(map(chunk, blocks)) + LAST_CHUNK
    for cut in range(1, len(body)):
        dechunker = Dechunker()
        assert dechunker.feed(body[:cut]) + dechunker.feed(body[cut:]) == b"".join(blocks)
        assert dechunker.ended


@pytest.mark.parametrize("body", [b"nonsense\r\n", b"3\r\nabcd\r\n", b"3\r\nabcXY4\r\n"])
def test_a_body_that_is_not_chunked_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        Dechunker().feed(body)


def inspect(*frames: bytes, now_ns: int = 0, chunked: bool = True) -> Findings:
    findings = Findings()
    inspector = StreamInspector(findings, chunked=chunked)
    data = b"".join(map(chunk, frames)) if chunked else b"".join(frames)
    for piece in pieces(data, 7):
        inspector.feed(piece, now_ns)
    return findings


@pytest.mark.parametrize("chunked", [True, False])
def test_a_gap_free_stream_has_no_findings_but_its_events(*, chunked: bool) -> None:
    found = inspect(READY, event(11), event(12), comment(), event(13), chunked=chunked)
    assert (found.events, found.disordered, found.missing, found.gaps) == (3, 0, 0, 0)
    assert not found.errors


def test_latency_is_receipt_minus_the_time_in_the_payload() -> None:
    found = inspect(READY, event(11, at_ns=1_000), event(12, at_ns=1_050), now_ns=1_100)
    assert (found.latency.count, found.latency.percentile(50), found.latency.percentile(100)) == (2, 50, 100)


@pytest.mark.parametrize("seqs", [(11, 11), (12, 11)])
def test_a_sequence_that_does_not_increase_is_disorder(seqs: tuple[int, int]) -> None:
    assert inspect(event(seqs[0]), event(seqs[1])).disordered == 1


def test_an_epoch_that_changes_without_a_gap_is_disorder() -> None:
    assert inspect(event(11), event(12, epoch="zzzzzzzz")).disordered == 1


def test_numbers_left_out_are_missing_from_the_first_event_on() -> None:
    found = inspect(READY, event(12), event(13), event(20))
    assert (found.missing, found.disordered) == (1 + 6, 0)


def test_what_a_gap_frame_tells_is_not_missing() -> None:
    gap = encode("abcdefgh-19-1kz", "stream.gap", b'{"reason":"expired"}')
    found = inspect(READY, event(11), gap, event(20))
    assert (found.gaps, found.missing, found.disordered) == (1, 0, 0)


def test_a_checkpoint_of_a_quiet_stream_hides_no_loss() -> None:
    checkpoint = encode("abcdefgh-12", "stream.checkpoint", b"{}")
    assert inspect(READY, event(11), checkpoint, event(13)).missing == 1


def test_an_error_frame_is_kept_by_what_it_says() -> None:
    assert inspect(READY, encode("", "error", b'{"code":"SSE_OVERLOADED"}')).errors == {'{"code":"SSE_OVERLOADED"}': 1}


def _counted(counter: FrameCounter, pieces: list[bytes]) -> int:
    found = 0
    for piece in pieces:
        counter.window[: len(piece)] = piece
        found += counter.count(4, len(piece))
    return found


def test_frames_are_counted_wherever_the_reads_end() -> None:
    stream = b"".join(chunk(encode(f"a-{seq}-z", "delayed", b'{"t":1,"x":2}')) for seq in range(1, 4))
    for cut in range(1, len(stream)):
        counter = FrameCounter()
        assert _counted(counter, [stream[:cut], stream[cut:]]) == 3, cut
        assert counter.ids[4] == b"a-3-z"


def test_a_frame_that_was_cut_does_not_count_and_its_id_is_not_taken() -> None:
    whole, cut = (chunk(encode(f"a-{seq}-z", "", b'{"t":1,"x":2}')) for seq in (1, 2))
    for length in range(len(cut) - 4):  # Its last four bytes end the frame, then the chunk.
        counter = FrameCounter()
        assert _counted(counter, [whole + cut[:length]]) == 1
        counter.forget(4)
        assert counter.ids[4] == b"a-1-z"
        assert _counted(counter, [cut]) == 1, length


def test_control_frames_move_the_id_and_are_no_events() -> None:
    counter = FrameCounter()
    assert _counted(counter, [chunk(b"retry: 5\n\n" + encode("a-7-z", "stream.ready", b"{}"))]) == 0
    assert counter.ids[4] == b"a-7-z"
    assert _counted(counter, [chunk(b":\n\n")]) == 0
    assert counter.ids[4] == b"a-7-z"


def test_a_frame_without_end_is_refused() -> None:
    counter = FrameCounter(frame_max=100)
    with pytest.raises(MalformedBody, match="a frame of more than 100 bytes"):
        _counted(counter, [b"data: " + b"x" * 60, b"x" * 60])
