"""Verify the signatures of a Slipstream event stream, with nothing of Slipstream's: `pip install PyJWT[crypto]`.

    python verify.py --key public.pem --alg EdDSA --kid k1 --topic orders.new https://host/v1/events?topic=orders.new
    python verify.py --key public.pem --alg EdDSA --kid k1 "https://host/v1/events?topic=orders.>&envelope=cloudevents"

The topic is part of what is signed. A stream of one topic says it by its URL; a stream of several needs
`envelope=cloudevents`, where each event names its own. A token is read from the variable SLIPSTREAM_TOKEN.
"""

import argparse
import hashlib
import hmac
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import jwt
from jwt.api_jws import PyJWS


class Forged(Exception):
    """The signature is missing, or is not of this event by this key."""


class NoEnvelope(Exception):
    """The data is no CloudEvent, so nothing says which topic it has."""


def signed_bytes(event_id: str, topic: str, event: str, data: str) -> bytes:
    """What the signature covers. An event without a name is `message` to an EventSource and empty here."""
    name = "" if event == "message" else event
    lines = data.replace("\r\n", "\n").replace("\r", "\n")  # an event stream has no other line ends
    return f"{event_id}\n{topic}\n{name}\n{lines}".encode()


def verify(signature: str | None, content: bytes, *, key: bytes, algorithm: str, kid: str) -> None:
    """Return if the signature is right, else raise Forged. Algorithm and key id are ours, never the signature's."""
    if not signature:
        raise Forged("there is no signature")
    if algorithm == "hmac-sha256":
        expected = f"{kid}:{hmac.digest(key, content, hashlib.sha256).hex()}"
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Forged("the HMAC is another one")
        return
    try:
        found = PyJWS().decode_complete(signature, key, algorithms=[algorithm], detached_payload=content)
    except jwt.PyJWTError as error:
        raise Forged(str(error)) from error
    if found["header"].get("kid") != kid:
        raise Forged("it was signed with another key")


def frames(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The frames of an event stream (WHATWG HTML section 9.2.6), as their fields; `data` lines are joined by LF."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            fields["data"] += f"\n{value}"
        elif name:
            fields[name] = value
        elif line in ("\n", "\r\n") and fields:
            yield fields
            fields = {}


def signed_parts(frame: dict[str, str], topic: str | None) -> tuple[str | None, bytes]:
    """The signature of a frame and what it covers. topic: None where the data is a CloudEvent; else NoEnvelope."""
    if topic is not None:
        return frame.get("signature"), signed_bytes(frame["id"], topic, frame.get("event", ""), frame["data"])
    text = frame["data"]
    try:
        cloud = json.loads(text)
        # Slipstream writes `data` last, and JSON as its producer spelled it: that spelling is what was signed.
        raw = text[text.index(',"data":') + len(',"data":') : -1]
        data = raw if cloud["datacontenttype"] == "application/json" else cloud["data"]
        return cloud.get("signature"), signed_bytes(cloud["id"], cloud["subject"], cloud["type"], data)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoEnvelope("the data is no CloudEvent: give --topic, or ask for envelope=cloudevents") from error


def main(arguments: list[str]) -> int:
    """Print each event with what its signature is worth; stops at the first that is forged. 2: it cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--key", type=Path, required=True, help="file: a public key as PEM, or the shared secret")
    parser.add_argument("--alg", required=True, choices=["HS256", "ES256", "EdDSA", "hmac-sha256"])
    parser.add_argument("--kid", required=True)
    parser.add_argument("--topic", help="the stream's only topic; without it the events must be CloudEvents")
    options = parser.parse_args(arguments)
    key = options.key.read_bytes()
    request = urllib.request.Request(options.url, headers={"Accept": "text/event-stream"})
    if token := os.environ.get("SLIPSTREAM_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        return follow(request, options.topic, key=key, algorithm=options.alg, kid=options.kid)
    except urllib.error.HTTPError as error:
        print(f"{error}: {error.read().decode(errors='replace')}", file=sys.stderr)
    except (OSError, NoEnvelope) as error:
        print(error, file=sys.stderr)
    return 2


def follow(request: urllib.request.Request, topic: str | None, *, key: bytes, algorithm: str, kid: str) -> int:
    """Until the stream ends (0) or an event is forged (1)."""
    with urllib.request.urlopen(request, timeout=60) as stream:
        for frame in frames(line.decode() for line in stream):
            name = frame.get("event", "")
            if name.startswith("stream.") or name == "error" or "data" not in frame:
                continue  # what the stream says of itself is not signed
            try:
                signature, content = signed_parts(frame, topic)
                verify(signature, content, key=key, algorithm=algorithm, kid=kid)
            except Forged as error:
                print(f"FORGED {frame['id']}: {error}", file=sys.stderr)
                return 1
            print(f"verified {frame['id']} {frame['data']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
