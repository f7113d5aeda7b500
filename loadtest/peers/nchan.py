"""nginx with nchan, from Debian's packages: one worker, messages in memory, published by HTTP POST."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from loadtest.child import child
from loadtest.measure import Settings
from loadtest.peers.peer import START_SECONDS, Peer, Serving, accepts
from loadtest.procfs import children
from loadtest.publisher import Plan
from slipstream.cli.dev.ports import HOST, free_ports

_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_NGINX: Final = "/usr/sbin/nginx"
_SPARE: Final = 512
_BUFFERED: Final = 1000
"""Messages that a channel keeps for those who come back: as many as Slipstream's ring."""
_IN_FLIGHT: Final = 64


def configuration(port: int, folder: Path, connections: int) -> str:
    """A configuration of nginx: what the documentation shows, with room for the streams and all files in `folder`."""
    scratch = "\n".join(
        f"  {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
load_module {_MODULE};
daemon off;
worker_processes 1;
worker_rlimit_nofile {connections + _SPARE};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections + _SPARE}; }}
http {{
  access_log off;
{scratch}
  keepalive_requests 1000000000;
  nchan_shared_memory_size 256M;
  server {{
    listen {HOST}:{port} backlog=4096;
    location = /pub {{
      nchan_publisher http;
      nchan_channel_id bench;
      nchan_message_buffer_length {_BUFFERED};
      nchan_message_timeout 120s;
    }}
    location = /sub {{
      nchan_subscriber eventsource;
      nchan_channel_id bench;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


class Nchan(Peer):
    """One nginx worker."""

    name = "nchan"
    hint = "apt-get install nginx libnginx-mod-nchan"

    def installed(self) -> bool:
        """Whether nginx and the module are where Debian puts them."""
        return _MODULE.exists() and shutil.which(_NGINX) is not None

    @asynccontextmanager
    async def start(self, settings: Settings, connections: int) -> AsyncIterator[Serving]:
        """A master, which does nothing, and its worker."""
        with tempfile.TemporaryDirectory(prefix="slipstream-nchan-") as name:
            folder = Path(name)
            (port,) = free_ports(1)
            _write(folder, configuration(port, folder, connections))
            argv = [_NGINX, "-p", name, "-c", str(folder / "nginx.conf")]
            async with child("nginx", argv, folder=folder, cores=settings.cores.edge) as master:
                await master.serving(lambda: accepts(port), START_SECONDS)
                (worker,) = children(master.pid)
                feed = Plan(f"http://{HOST}:{port}/pub", "bench", in_flight=_IN_FLIGHT)
                yield Serving(port, "/sub", folder, worker, (master.pid,), feed)


def _write(folder: Path, text: str) -> None:
    folder.chmod(0o755)  # The worker of a master that is root is somebody else.
    (folder / "nginx.conf").write_text(text)
