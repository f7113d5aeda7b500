"""What the children are started with: NATS' configuration and an edge's environment. Pure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipstream.cli.dev.ports import HOST

_UNSET: Final = ("NATS_CREDS", "NATS_USER", "NATS_PASSWORD", "NATS_TLS_CA", "NATS_TLS_CERT", "NATS_TLS_KEY", "ISSUERS")


def nats_configuration(port: int, monitor_port: int, store: Path) -> str:
    """A JetStream server on loopback. The bound on files is a budget for the tenants' limits, not a reservation."""
    return (
        f'server_name: "dev"\n'
        f'listen: "{HOST}:{port}"\n'
        f'http: "{HOST}:{monitor_port}"\n'
        f"jetstream {{ store_dir: {json.dumps(str(store))}, max_memory_store: 256MB, max_file_store: 1TB }}\n"
    )


def edge_environment(environ: Mapping[str, str], nats_url: str, port: int, admin_port: int) -> dict[str, str]:
    """The caller's environment, so that its SLIPSTREAM_* can be tried out, but for what makes this cluster one.

    An empty variable counts as not set. `retry` and `drain` are short: nobody wants to wait for a demonstration.
    """
    defaults = {
        "SLIPSTREAM_LOG_FORMAT": "text",
        "SLIPSTREAM_RETRY_MS": "1000",
        "SLIPSTREAM_DRAIN": "1",
        "SLIPSTREAM_DRAIN_DELAY": "0",
    }
    fixed = {
        "SLIPSTREAM_NATS_URL": nats_url,
        "SLIPSTREAM_HOST": HOST,
        "SLIPSTREAM_PORT": str(port),
        "SLIPSTREAM_ADMIN_PORT": str(admin_port),
        "SLIPSTREAM_AUTH": "none",
        "SLIPSTREAM_TRUSTED_PROXIES": "127.0.0.0/8",
        "PYTHONUNBUFFERED": "1",
    }
    return defaults | dict(environ) | {f"SLIPSTREAM_{name}": "" for name in _UNSET} | fixed
