"""The settings: what they are when nothing is set, and what is said of an environment that cannot be used."""

import traceback
from ipaddress import ip_network
from pathlib import Path

import pytest

from slipstream.settings import Settings, SettingsError, reference
from slipstream.settings.faults import variable

PROMISED = {
    "nats_url": "nats://127.0.0.1:4222",
    "host": "0.0.0.0",
    "port": 8080,
    "admin_port": 8081,
    "max_connections": 0,
    "connections_per_address": 0,
    "connect_rate": 2_000,
    "sndbuf": 131_072,
    "trusted_proxies": (),
    "head_deadline": 10,
    "body_deadline": 10,
    "auth": "jwt",
    "anonymous_scopes": ("subscribe", "publish"),
    "deny_private_networks": False,
    "heartbeat": 15,
    "write_deadline": 30,
    "retry_ms": 3_000,
    "drain_delay": 5,
    "drain": 60,
    "event_bytes": 262_144,
    "publish_events": 1_000,
    "publish_bytes": 4_194_304,
    "publish_inflight": 67_108_864,
    "memory_limit": 0,
    "topics_per_stream": 32,
    "ring_events": 1_000,
    "ring_bytes": 262_144,
    "ring_seconds": 120,
    "rings_bytes": 268_435_456,
    "replay_events": 100_000,
    "replay_inflight": 4,
    "hook_budget": 0.05,
    "hook_memory": 268_435_456,
    "linger": 60,
    "lease": 15,
    "retention_seconds": 86_400,
    "retention_bytes": 1_073_741_824,
    "loop": "uvloop",
    "log_level": "info",
    "log_format": "json",
}


def faults(**texts: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load({variable(field): text for field, text in texts.items()})
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def load(**texts: str) -> Settings:
    return Settings.load({variable(field): text for field, text in texts.items()})


def test_the_defaults_are_the_promised_ones() -> None:
    settings = Settings.load({})
    assert settings.model_dump(exclude_none=True) == PROMISED
    assert {field for field in Settings.model_fields if getattr(settings, field) is None} == {
        "nats_creds", "nats_user", "nats_password", "nats_tls_ca", "nats_tls_cert", "nats_tls_key", "issuers",
        "secrets",
    }  # fmt: skip


def test_every_setting_can_be_set_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    texts = {
        "nats_url": "tls://a:4222, nats://[::1]:4223", "nats_user": "edge", "nats_password": "hunter2",
        "nats_tls_ca": str(file), "nats_tls_cert": str(file), "nats_tls_key": str(file), "host": "127.0.0.1",
        "port": "0", "admin_port": "0", "max_connections": "5", "sndbuf": "65536", "head_deadline": "1",
        "trusted_proxies": "10.0.0.0/8, ::1", "body_deadline": "2.5", "auth": "None", "issuers": str(file),
        "anonymous_scopes": "subscribe pii:read", "secrets": str(tmp_path), "hook_budget": "0.1",
        "hook_memory": "134217728", "deny_private_networks": "true",
        "heartbeat": "1", "write_deadline": "2", "retry_ms": "1000", "drain_delay": "0", "drain": "0",
        "event_bytes": "1024",
        "publish_events": "10", "publish_bytes": "2048", "publish_inflight": "1048576", "memory_limit": "1073741824",
        "connections_per_address": "20", "connect_rate": "100",
        "topics_per_stream": "3", "ring_events": "4", "ring_bytes": "2048", "ring_seconds": "5", "rings_bytes": "4096",
        "replay_events": "6", "replay_inflight": "7", "linger": "8", "lease": "9", "retention_seconds": "120",
        "retention_bytes": "1048576", "loop": "asyncio", "log_level": "DEBUG", "log_format": "text",
    }  # fmt: skip
    settings = load(**texts)
    assert settings.nats_servers == ("tls://a:4222", "nats://[::1]:4223")
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert (settings.auth, settings.log_level, settings.issuers) == ("none", "debug", file)
    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == "hunter2"
    unchanged = {field for field in PROMISED if getattr(settings, field) == PROMISED[field]}
    assert unchanged == set()
    assert set(texts) | {"nats_creds"} == set(Settings.model_fields)
    assert load(nats_creds=str(file)).nats_creds == file


def test_the_environment_of_the_process_is_read_by_load_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPSTREAM_PORT", "9090")
    assert Settings.load().port == 9090
    assert Settings().port == 8080


def test_an_empty_variable_is_not_set() -> None:
    assert load(port="", nats_creds="", trusted_proxies="") == Settings()


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = faults(
        prot="8080",
        retry_ms="50",
        heartbeat="nan",
        auth="jwtt",
        nats_tls_cert=str(tmp_path / "absent.pem"),
        trusted_proxies="10.0.0.1/8",
        nats_user="edge",
        rings_bytes="2048",
    )
    assert [fault.partition(":")[0].partition("=")[0] for fault in found] == [
        "SLIPSTREAM_PROT",
        "SLIPSTREAM_NATS_TLS_CERT",
        "SLIPSTREAM_TRUSTED_PROXIES",
        "SLIPSTREAM_AUTH",
        "SLIPSTREAM_HEARTBEAT",
        "SLIPSTREAM_RETRY_MS",
        "SLIPSTREAM_NATS_USER",
        "SLIPSTREAM_RINGS_BYTES",
    ]


def test_a_fault_names_the_variable_the_value_the_reason_and_an_example() -> None:
    (fault,) = faults(retry_ms="50")
    assert fault == (
        "SLIPSTREAM_RETRY_MS='50': it should be greater than or equal to 1000; for example SLIPSTREAM_RETRY_MS=3000"
    )
    with pytest.raises(SettingsError, match=r"^1 setting is wrong:\n  SLIPSTREAM_RETRY_MS="):
        load(retry_ms="50")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("port", "65536"),
        ("port", "80.5"),
        ("max_connections", "-1"),
        ("sndbuf", "1000"),
        ("heartbeat", "inf"),
        ("heartbeat", "0"),
        ("drain", "-1"),
        ("retry_ms", "999"),
        ("event_bytes", "8388609"),
        ("publish_events", "0"),
        ("publish_bytes", "1023"),
        ("ring_events", "0"),
        ("replay_inflight", "0"),
        ("retention_seconds", "119"),
        ("loop", "trio"),
        ("log_level", "loud"),
        ("nats_url", "127.0.0.1:4222"),
        ("nats_url", "http://127.0.0.1:4222"),
        ("nats_url", "nats://a:4222,"),
        ("nats_url", "nats://a:0"),
        ("nats_url", "nats://a:99999"),
        ("nats_creds", "/"),
        ("trusted_proxies", "everyone"),
    ],
)
def test_a_value_out_of_bounds_is_a_fault(field: str, text: str) -> None:
    (fault,) = faults(**{field: text})
    assert fault.startswith(f"{variable(field)}={text!r}: ")
    assert f"; for example {variable(field)}=" in fault


def test_an_unknown_variable_is_a_fault_with_the_nearest_name() -> None:
    assert faults(heart_beat="5") == (
        "SLIPSTREAM_HEART_BEAT: there is no such setting: did you mean SLIPSTREAM_HEARTBEAT?",
    )
    assert "see docs/reference/settings.md" in faults(qqq="1")[0]


def test_what_a_command_reads_for_itself_is_no_fault() -> None:
    assert Settings.load({"SLIPSTREAM_TOKEN": "eyJ"}) == Settings.load({})


def test_secrets_are_never_shown() -> None:
    texts = {"PASSWD": "hunter2", "URL": "nats://edge:hunter2@a,nats://b:hunter2@c", "PASSWORD": "hunter2\n"}
    with pytest.raises(SettingsError) as caught:
        Settings.load({f"SLIPSTREAM_NATS_{name}": text for name, text in texts.items()})
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "SLIPSTREAM_NATS_URL='nats://(secret)@c': " in shown
    assert "SLIPSTREAM_NATS_PASSWORD=(secret): " in shown
    assert "hunter2" not in repr(load(nats_user="edge", nats_password="hunter2"))


def test_what_kubernetes_sets_for_a_service_is_named_as_that() -> None:
    found = faults(port="tcp://10.0.0.7:80", service_host="10.0.0.7", port_80_tcp_addr="10.0.0.7", edge_port="tcp://x")
    assert len(found) == 4
    assert all("enableServiceLinks: false" in fault for fault in found)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"nats_user": "edge"}, "SLIPSTREAM_NATS_USER: it is of no use alone; set SLIPSTREAM_NATS_PASSWORD too"),
        ({"nats_password": "x"}, "SLIPSTREAM_NATS_PASSWORD: it is of no use alone; set SLIPSTREAM_NATS_USER too"),
        ({"nats_tls_key": "FILE"}, "SLIPSTREAM_NATS_TLS_KEY: it is of no use alone; set SLIPSTREAM_NATS_TLS_CERT too"),
        ({"nats_tls_cert": "FILE"}, "SLIPSTREAM_NATS_TLS_CERT: it is of no use alone; set SLIPSTREAM_NATS_TLS_KEY too"),
        ({"port": "8081"}, "SLIPSTREAM_ADMIN_PORT: port 8081 is the clients'; choose another"),
        (
            {"rings_bytes": "1024"},
            "SLIPSTREAM_RINGS_BYTES: 1024 is less than SLIPSTREAM_RING_BYTES=262144; raise it",
        ),
        (
            {"retention_bytes": "1024"},
            "SLIPSTREAM_RETENTION_BYTES: 1024 is less than SLIPSTREAM_EVENT_BYTES=262144; raise it",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_a_fault(texts: dict[str, str], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    assert faults(**{field: text.replace("FILE", str(file)) for field, text in texts.items()}) == (expected,)


def test_one_login_for_nats_is_enough(tmp_path: Path) -> None:
    creds = tmp_path / "edge.creds"
    creds.touch()
    found = faults(nats_creds=str(creds), nats_user="edge", nats_password="x")
    assert [fault.partition(":")[0] for fault in found] == ["SLIPSTREAM_NATS_USER", "SLIPSTREAM_NATS_PASSWORD"]


def test_a_wrong_value_is_not_called_a_contradiction_too(tmp_path: Path) -> None:
    key = tmp_path / "tls.key"
    key.touch()
    (fault,) = faults(nats_tls_key=str(key), nats_tls_cert=str(tmp_path / "absent.pem"))
    assert fault.startswith("SLIPSTREAM_NATS_TLS_CERT=")


def test_every_setting_says_what_it_is_for_and_has_an_example() -> None:
    for field, info in Settings.model_fields.items():
        assert info.description, field
        assert info.examples or info.default not in (None, ()), field


def test_the_written_reference_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    assert page.read_text() == reference(), "run: make reference"
    assert all(f"`{variable(field)}`" in page.read_text() for field in Settings.model_fields)
