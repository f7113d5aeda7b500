"""What to open and what to paste once the cluster is up."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rich.text import Text

from slipstream.cli.dev.cluster import USUAL_NATS_PORT, Cluster
from slipstream.cli.dev.screen import Screen
from slipstream.demo import PROVENANCE

_WARNING = "NO AUTHENTICATION: whoever reaches these ports may read and publish everything. For this machine alone."


def welcome(screen: Screen, cluster: Cluster) -> None:
    """Print it. Every command is one line, so that it can be copied."""
    url = cluster.url
    events = f"{url}/v1/events?tenant=flights&topic=flights.>"
    command = own_name()
    nats = "" if cluster.nats_port == USUAL_NATS_PORT else f"SLIPSTREAM_NATS_URL={cluster.nats_url} "
    late = '{"topic":"flights.HNL.SFO","event":"delayed","data":{"delay":95}}'
    listener = "e => console.log(e.lastEventId, e.data)"
    screen.say()
    screen.warn(_WARNING)
    screen.say()
    screen.say(Text.assemble(("  Slipstream is up: open ", "bold"), (f"{url}/", "bold underline cyan")))
    screen.say()
    rows = (
        ("curl", f"curl -N {shlex.quote(events)}"),
        ("a reader", f"{command} tail {url} --tenant quakes --from last"),
        (
            "publish",
            f"{nats}{command} publish flights.HNL.SFO '{{\"delay\":3}}' --tenant flights --event departed",
        ),
        ("over HTTP", f"curl '{url}/v1/events?tenant=flights' -H 'Content-Type: application/json' -d '{late}'"),
        ("a browser", f"const es = new EventSource({events!r}); es.addEventListener('departed', {listener})"),
        ("tenants", f"{nats}{command} tenant list"),
        ("break it", f"kill -9 {cluster.edges[0].pid}   (edge-1: its readers go on at edge-2, and miss nothing)"),
    )
    for name, text in rows:
        screen.say(Text.assemble((f"  {name:<11}", "bold"), text))
    screen.say()
    screen.say(Text(f"  {PROVENANCE}", "dim"))
    screen.say(Text(f"  Logs: {shown(cluster.folder.logs)}    Ctrl-C ends it; the events stay", "dim"))
    screen.say()


def own_name() -> str:
    """How the reader can call this command from here."""
    if shutil.which("slipstream"):
        return "slipstream"
    program = Path(sys.argv[0])
    if program.name == "slipstream":
        return shlex.quote(shown(program.absolute()))
    return f"{shlex.quote(shown(Path(sys.executable)))} -m slipstream"


def shown(path: Path) -> str:
    """A path as short as it can be written here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
