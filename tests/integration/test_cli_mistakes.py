"""A command that did not do what it was asked to says so, and ends with the status that the help promises."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster
from tests.servers import Edge, NatsServer, slipstream, slipstream_environment

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


@pytest.mark.parametrize("option", ["--bookmark", "--save"])
async def test_a_file_in_a_directory_that_is_not_there_is_a_wrong_option(
    option: str, nats: NatsServer, tmp_path: Path
) -> None:
    """Before anything is asked: there is no server at that address."""
    path = tmp_path / "no" / "such"
    done = await slipstream("tail", "http://127.0.0.1:1", "-t", "acme", option, str(path), nats_url=nats.url)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == f"slipstream: {path}: No such file or directory\n"


async def test_nothing_is_listed_of_a_tenant_that_is_not_there(cluster: Cluster, nats: NatsServer) -> None:
    """Else a name that is mistyped would say that nobody is revoked."""
    done = await slipstream("token", "revoked", "-t", "not-there", nats_url=nats.url)
    assert (done.status, done.stdout) == (1, "")
    assert "there is no tenant not-there" in done.stderr
    done = await slipstream("token", "revoked", "-t", cluster.tenant, nats_url=nats.url)
    assert (done.status, done.stdout) == (0, "")
    assert done.stderr == f"nothing of tenant {cluster.tenant} is revoked\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_tail_that_waits_for_an_event_and_is_interrupted_did_not_see_it(
    cluster: Cluster, nats: NatsServer, tmp_path: Path, number: signal.Signals
) -> None:
    """`tail --count 2 && ...` must not go on."""
    await cluster.put("a", b"one")
    async with Edge(nats.url, tmp_path) as edge:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slipstream", "tail", edge.url, "-t", cluster.tenant),
            *("--from", "earliest", "--raw", "--count", "2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=slipstream_environment(nats.url),
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"one\n"
            process.send_signal(number)
            _, told = await process.communicate()
    assert process.returncode == 130
    assert told.endswith(b"slipstream: 1 of 2 events had come when it was interrupted\n")
