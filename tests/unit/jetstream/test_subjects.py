"""Names on the NATS side, and what a delivered message's reply subject says."""

import pytest

from slipstream.jetstream.subjects import Delivered, parse_reply, stream_of

TIME = "1732000000123456789"
MS = 1_732_000_000_123


def test_a_tenants_stream() -> None:
    assert stream_of("acme-1") == "SSE_acme-1"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (f"$JS.ACK.SSE_acme.edge-1.1.1042.7.{TIME}.0", Delivered(1042, 7, MS)),
        (f"$JS.ACK.SSE_acme.edge-1.3.1042.7.{TIME}.99", Delivered(1042, 7, MS)),
        (f"$JS.ACK.hub.A1B2.SSE_acme.edge-1.1.1042.7.{TIME}.0", Delivered(1042, 7, MS)),
        (f"$JS.ACK._.A1B2.SSE_acme.edge-1.1.1042.7.{TIME}.0.rand", Delivered(1042, 7, MS)),
        (f"$JS.ACK._.A1B2.SSE_acme.edge-1.1.1042.7.{TIME}.0.rand.more", Delivered(1042, 7, MS)),
        ("$JS.ACK.SSE_acme.edge-1.1.1.1.999999.0", Delivered(1, 1, 0)),
        ("$JS.ACK.SSE_acme.edge-1.1.1.1.1999999.0", Delivered(1, 1, 1)),
        # A heartbeat has no reply, a status none of this kind.
        ("", None),
        ("_INBOX.abc.def", None),
        ("$JS.FC.SSE_acme.edge-1.abc", None),
        ("$JS.NAK.SSE_acme.edge-1.1.1042.7.1.0", None),
        (f"$JS.ACK.SSE_acme.edge-1.1.1042.7.{TIME}", None),
        (f"$JS.ACK.x.SSE_acme.edge-1.1.1042.7.{TIME}.0", None),
        ("$JS.ACK.SSE_acme.edge-1.1.one.7.1.0", None),
        ("$JS.ACK.SSE_acme.edge-1.1.1..1.0", None),
        ("$JS.ACK.SSE_acme.edge-1.1.1.1.now.0", None),
    ],
)
def test_a_reply_subject_is_read_in_both_forms_or_not_at_all(reply: str, expected: Delivered | None) -> None:
    assert parse_reply(reply) == expected
