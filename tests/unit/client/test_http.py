from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.client.http import HttpError, Response

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
CHUNKED = HEAD + b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"


def read(wire: bytes) -> tuple[Response, bytes]:
    response = Response()
    return response, response.feed(wire)


@given(st.lists(st.integers(1, len(CHUNKED) - 1), max_size=20))
def test_a_chunked_body_cut_anywhere_is_whole(cuts: list[int]) -> None:
    response, body = Response(), b""
    edges = sorted({0, len(CHUNKED), *cuts})
    for begin, end in pairwise(edges):
        assert not response.done
        body += response.feed(CHUNKED[begin:end])
    assert body == b"hello0123456789"
    assert response.done
    assert response.head is not None
    assert response.head.status == 200
    assert response.head.headers == {"transfer-encoding": "chunked", "x-a": "1, 2"}


def test_body_bytes_are_given_out_before_their_chunk_is_complete() -> None:
    response, body = read(CHUNKED[: CHUNKED.index(b"hello") + 3])
    assert body == b"hel"
    assert not response.done


def test_a_body_with_a_length_ends_there() -> None:
    response, body = read(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabcdef")
    assert body == b"abc"
    assert response.done


def test_a_body_without_length_ends_with_the_connection() -> None:
    response, body = read(b"HTTP/1.0 200 OK\r\n\r\nabc")
    assert body == b"abc"
    assert not response.done
    response.end()
    assert response.done


def test_an_interim_response_is_passed_over() -> None:
    response, body = read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert response.head is not None
    assert (response.head.status, body) == (200, b"x")


def test_no_body_comes_with_204_nor_with_length_zero() -> None:
    assert read(b"HTTP/1.1 204 No Content\r\n\r\n")[0].done
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")[0].done


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "not an HTTP/1.1 response"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.1 response"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "not a response header"),
        (b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n", "not a response header"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown transfer encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "malformed content length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "malformed content length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "malformed chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "a chunk is followed by"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "headers of more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000, "line of more than"),
    ],
)
def test_what_is_malformed_is_refused_with_a_reason(wire: bytes, message: str) -> None:
    with pytest.raises(HttpError, match=message):
        read(wire)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "before the response's headers"),
        (b"HTTP/1.1 200 OK\r\n", "before the response's headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "inside the response's body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "inside the response's body"),
    ],
)
def test_an_early_end_is_told_from_a_complete_body(wire: bytes, message: str) -> None:
    response, _ = read(wire)
    with pytest.raises(HttpError, match=message):
        response.end()


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", False),
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_another_answer_may_follow_a_whole_one_alone(answer: bytes, *, reusable: bool) -> None:
    response = Response()
    response.feed(answer)
    assert response.reusable is reusable
