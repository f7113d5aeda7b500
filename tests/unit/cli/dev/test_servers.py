"""What the children are started with."""

import json
import re
from pathlib import Path

from slipstream.cli.dev.proxy import caddy_configuration
from slipstream.cli.dev.servers import edge_environment, nats_configuration
from slipstream.settings import Settings


def test_an_edge_gets_settings_that_hold_whatever_the_caller_has_set() -> None:
    caller = {
        "PATH": "/bin",
        "SLIPSTREAM_NATS_URL": "tls://nats.example:4222",
        "SLIPSTREAM_NATS_USER": "edge",
        "SLIPSTREAM_NATS_PASSWORD": "secret",
        "SLIPSTREAM_HOST": "0.0.0.0",
        "SLIPSTREAM_AUTH": "jwt",
        "SLIPSTREAM_HEARTBEAT": "2",
        "SLIPSTREAM_RETRY_MS": "4000",
    }
    environment = edge_environment(caller, "nats://127.0.0.1:4222", 1234, 5678)
    settings = Settings.load(environment)
    assert environment["PATH"] == "/bin"
    assert (settings.host, settings.port, settings.admin_port) == ("127.0.0.1", 1234, 5678)
    assert (settings.nats_url, settings.nats_user, settings.nats_password) == ("nats://127.0.0.1:4222", None, None)
    assert settings.auth == "none"
    assert (settings.heartbeat, settings.retry_ms) == (2, 4_000), "what the caller tries out stays"
    assert Settings.load(edge_environment({}, "nats://127.0.0.1:4222", 1, 2)).retry_ms == 1_000


def test_every_address_of_every_child_is_loopback(tmp_path: Path) -> None:
    nats = nats_configuration(4222, 8222, tmp_path / 'a "quoted" folder')
    caddy = json.dumps(caddy_configuration(8080, [1, 2], tmp_path))
    found = re.findall(r"[\w.]*:\d+(?=[\"'])", nats + caddy)
    assert sorted(found) == ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:4222", "127.0.0.1:8080", "127.0.0.1:8222"]
    assert '\\"quoted\\"' in nats


def test_caddy_buffers_nothing_tries_the_other_edge_and_cannot_be_told_otherwise(tmp_path: Path) -> None:
    document = caddy_configuration(8080, [1, 2], tmp_path)
    assert document["admin"]["disabled"] is True
    page, streams = document["apps"]["http"]["servers"]["dev"]["routes"]
    [proxy] = streams["handle"]
    assert proxy["flush_interval"] == -1
    assert len(proxy["upstreams"]) == 2
    assert proxy["load_balancing"]["try_duration"] == "5s"
    assert page["match"] == [{"path": ["/"]}]
    assert "match" not in streams, "who is wrong about a path is told so by an edge"
