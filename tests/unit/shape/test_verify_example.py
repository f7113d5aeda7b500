"""docs/examples/verify.py accepts what the sign hook signed, as it comes over the wire, and nothing else."""

import http.server
import threading
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

import pytest

from slipstream.protocol.cloudevents import envelope
from slipstream.protocol.frame import comment, encode, retry
from slipstream.shape.event import Event
from slipstream.shape.signature import Algorithm, signer
from tests.unit.shape.keys import pairs

PAIRS = pairs()
EVENT = Event("abcdefgh-7-1lom6tc.order-1", "orders.new", "", 1_700_000_000_000, b'{"n": 1.10,\r\n "t":"\xc3\xbc"}')


def _example() -> Any:
    path = Path(__file__).parents[3] / "docs" / "examples" / "verify.py"
    spec = spec_from_file_location("verify_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = _example()


def sse(event: Event) -> bytes:
    """The event's frame as a plain reader gets it."""
    return f"signature: {event.signature}\n".encode() + encode(event.id, event.event, event.data)


def cloud(event: Event) -> bytes:
    """The event's frame with `envelope=cloudevents`."""
    data = envelope(
        "acme",
        id_=event.id,
        topic=event.topic,
        event=event.event,
        time_ms=event.time_ms,
        data=event.data,
        signature=event.signature,
    )
    return encode(event.id, event.event, data)


def signed(algorithm: str, event: Event = EVENT) -> Event:
    return event._replace(signature=signer(cast("Algorithm", algorithm), "k1", PAIRS[algorithm][0])(event))


def check(frame: bytes, topic: str | None, algorithm: str, *, kid: str = "k1") -> None:
    (fields,) = example.frames(line + "\n" for line in frame.decode().split("\n"))
    signature, content = example.signed_parts(fields, topic)
    example.verify(signature, content, key=PAIRS[algorithm][1], algorithm=algorithm, kid=kid)


@pytest.mark.parametrize("algorithm", sorted(PAIRS))
@pytest.mark.parametrize("data", [EVENT.data, b'two\nlines\r and, "data":1 ', b"", b'"text"', b'{"a":1,"data":2}'])
@pytest.mark.parametrize("name", ["", "paid"])
def test_what_was_signed_is_verified_both_ways(algorithm: str, data: bytes, name: str) -> None:
    event = signed(algorithm, EVENT._replace(data=data, event=name))
    check(sse(event), "orders.new", algorithm)
    check(cloud(event), None, algorithm)


@pytest.mark.parametrize("algorithm", sorted(PAIRS))
@pytest.mark.parametrize(
    "change",
    [
        {"id": "abcdefgh-8-1lom6tc.order-1"},
        {"topic": "orders.old"},
        {"event": "paid"},
        {"data": EVENT.data + b" "},
        {"data": EVENT.data.replace(b"1.10", b"1.1")},
        {"signature": "k1:" + "0" * 64},
        {"signature": "e30..AAAA"},
        {"signature": ""},
    ],
)
def test_anything_else_is_forged(algorithm: str, change: dict[str, Any]) -> None:
    event = signed(algorithm)._replace(**change)
    with pytest.raises(example.Forged):
        check(sse(event), event.topic, algorithm)
    with pytest.raises(example.Forged):
        check(cloud(event), None, algorithm)


@pytest.mark.parametrize("algorithm", sorted(PAIRS))
def test_another_key_or_key_id_is_forged(algorithm: str) -> None:
    event = signed(algorithm)
    with pytest.raises(example.Forged):
        check(sse(event), "orders.new", algorithm, kid="k2")
    with pytest.raises(example.Forged):
        example.verify(event.signature, b"", key=PAIRS[algorithm][1], algorithm=algorithm, kid="k1")


def test_the_algorithm_is_ours_and_not_the_signatures() -> None:
    # The classic attack: the public key, known to all, as the secret of an HMAC.
    public = PAIRS["ES256"][1]
    forged = EVENT._replace(signature=signer("hmac-sha256", "k1", public)(EVENT))
    with pytest.raises(example.Forged):
        check(sse(forged), "orders.new", "ES256")
    with pytest.raises(example.Forged, match="no signature"):
        check(encode(EVENT.id, EVENT.event, EVENT.data), "orders.new", "ES256")


@pytest.mark.parametrize("data", [b'{"total":42}', b"text", b'{"a":1,"data":2}', b"[]", b'["a","data":2]'])
def test_a_plain_event_without_a_topic_is_told_how_to_ask(data: bytes) -> None:
    with pytest.raises(example.NoEnvelope, match="give --topic, or ask for envelope=cloudevents"):
        check(sse(signed("EdDSA", EVENT._replace(data=data))), None, "EdDSA")


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that sends the bytes it is given, once; a 404 where they are a problem document."""
    body: bytes = request.param
    status = 404 if body.startswith(b"{") else 200

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="stream")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/events"
        finally:
            server.shutdown()
            thread.join(5)


READY = retry(1000) + comment() + encode("abcdefgh-6", "stream.ready", b"{}")
GOOD = sse(signed("EdDSA"))
BAD = sse(signed("EdDSA")._replace(data=b'{"n":2}'))


@pytest.mark.parametrize(("stream", "code"), [(READY + GOOD + GOOD, 0), (READY + GOOD + BAD, 1)], indirect=["stream"])
def test_the_whole_client(stream: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "public.pem"
    key.write_bytes(PAIRS["EdDSA"][1])
    options = ["--key", str(key), "--alg", "EdDSA", "--kid", "k1", "--topic", "orders.new"]
    assert example.main([*options, stream]) == code
    out, err = capsys.readouterr()
    assert out.count("verified abcdefgh-7") == 2 - code
    assert err.count("FORGED abcdefgh-7") == code


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (
            b'{"detail":"there is no tenant nobody"}',
            'HTTP Error 404: Not Found: {"detail":"there is no tenant nobody"}',
        ),
        (READY + GOOD, "the data is no CloudEvent: give --topic, or ask for envelope=cloudevents"),
    ],
    indirect=["stream"],
)
def test_what_cannot_be_read_is_one_line(
    stream: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "public.pem"
    key.write_bytes(PAIRS["EdDSA"][1])
    assert example.main(["--key", str(key), "--alg", "EdDSA", "--kid", "k1", stream]) == 2
    assert capsys.readouterr() == ("", f"{says}\n")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "public.pem"
    key.write_bytes(PAIRS["EdDSA"][1])
    assert example.main(["--key", str(key), "--alg", "EdDSA", "--kid", "k1", "http://127.0.0.1:1/v1/events"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
