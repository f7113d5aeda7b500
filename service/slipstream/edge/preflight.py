"""OPTIONS: what a browser asks before it sends a page's request to another origin (WHATWG Fetch 4.8)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from slipstream.edge.answers import common_headers
from slipstream.edge.cors import preflight_headers

_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


async def preflight(request: web.Request) -> web.StreamResponse:
    """Which methods and headers may come. An origin that is not allowed never gets here."""
    resource = request.match_info.route.resource
    routes = {route.method for route in resource or ()}
    methods = ", ".join(method for method in _ORDER if method in routes)
    headers = {"Allow": methods, **common_headers(request)}
    if more := preflight_headers(request):
        headers |= {"Access-Control-Allow-Methods": methods, **more}
    return web.Response(status=204, headers=headers)
