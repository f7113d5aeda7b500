"""What each NATS user may do, as lists; tests/contract/test_permissions.py has a server enforce them."""

import pytest

from slipstream.jetstream.permissions import (
    EDGE_BUCKETS,
    Permissions,
    account_of,
    controller,
    edge,
    imported,
    inbox_prefix,
    producer,
)
from slipstream.jetstream.subjects import PROBE_STREAM, TENANTS_BUCKET


def test_a_producer_has_its_events_and_its_inbox() -> None:
    assert producer("acme-1") == Permissions(publish=("sse.acme-1.>",), subscribe=("_INBOX_acme-1.>",))
    assert imported("acme-1") == "sse.acme-1.>"


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("acme", "acme-1"), ("acme", "cme")])
def test_tenants_share_nothing(one: str, other: str) -> None:
    assert account_of(one) != account_of(other)
    assert inbox_prefix(one) != inbox_prefix(other)
    assert not {*producer(one).publish, *producer(one).subscribe} & {
        *producer(other).publish,
        *producer(other).subscribe,
    }


@pytest.mark.parametrize(
    "permissions", [producer("acme"), edge(), controller()], ids=["producer", "edge", "controller"]
)
def test_nobody_may_do_everything(permissions: Permissions) -> None:
    for subject in (*permissions.publish, *permissions.subscribe):
        assert subject not in (">", "sse.>", "$JS.>", "$JS.API.>", "$KV.>", "*.>"), subject
        assert "PURGE" not in subject, subject
    assert len(set(permissions.publish)) == len(permissions.publish)


def test_edges_write_their_own_buckets_alone() -> None:
    written = {subject for subject in edge().publish if subject.startswith("$KV.")}
    assert written == {f"$KV.{bucket}.>" for bucket in EDGE_BUCKETS}
    assert TENANTS_BUCKET not in EDGE_BUCKETS
    made = {subject for subject in edge().publish if ".STREAM.CREATE." in subject}
    assert made == {f"$JS.API.STREAM.CREATE.{stream}" for stream in (PROBE_STREAM, *map("KV_{}".format, EDGE_BUCKETS))}


def test_the_controller_cannot_remove_a_bucket() -> None:
    for bucket in (TENANTS_BUCKET, *EDGE_BUCKETS):
        assert f"$JS.API.STREAM.DELETE.KV_{bucket}" in controller().deny_publish
    assert not [subject for subject in controller().publish if subject.startswith("sse.")]
