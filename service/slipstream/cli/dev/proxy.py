"""Caddy's configuration: one URL over all edges, and the page at `/`. Pure.

The facts are measured ones: event streams are flushed at once, a dead edge's connection is refused and the request
tried on the next within `try_duration`, and an open stream lives through 75 idle seconds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipstream.cli.dev.ports import HOST


def caddy_configuration(port: int, edges: Sequence[int], folder: Path) -> dict[str, Any]:
    """Caddy's JSON document. edges: their ports. folder: the data folder, with `www` in it."""
    # A wrong path is told by an edge: a file server's 404 would be empty.
    page = {"handler": "file_server", "root": str(folder / "www")}
    fresh = {"handler": "headers", "response": {"set": {"Cache-Control": ["no-store"]}}}
    routes: list[dict[str, Any]] = [
        {"match": [{"path": ["/"]}], "handle": [fresh, page]},
        {"handle": [upstreams(edges, "least_conn")]},
    ]
    return document(port, routes, folder)


def upstreams(edges: Sequence[int], policy: str, unhealthy: Sequence[int] = ()) -> dict[str, Any]:
    """The handler that passes requests on, and passes an edge over for a second that answers nothing.

    policy: Caddy's name for how one is chosen. unhealthy: answers that count as none.
    """
    passive: dict[str, Any] = {"fail_duration": "1s", "max_fails": 1}
    if unhealthy:
        passive["unhealthy_status"] = list(unhealthy)
    return {
        "handler": "reverse_proxy",
        "flush_interval": -1,
        "upstreams": [{"dial": f"{HOST}:{edge}"} for edge in edges],
        "load_balancing": {
            "selection_policy": {"policy": policy},
            "try_duration": "5s",
            "try_interval": "100ms",
        },
        "health_checks": {"passive": passive},
        "transport": {"protocol": "http", "dial_timeout": "1s"},
    }


def document(port: int, routes: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The whole of one server on loopback, which keeps what it has to keep in `folder`."""
    server = {
        "listen": [f"{HOST}:{port}"],
        "automatic_https": {"disable": True},
        "protocols": ["h1"],
        "routes": list(routes),
    }
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(folder / "caddy")},
        "apps": {"http": {"grace_period": "500ms", "servers": {"dev": server}}},
    }
