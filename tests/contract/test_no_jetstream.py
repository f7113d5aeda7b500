"""A nats-server that was started without JetStream, an account that has none, and one that is not ready yet."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slipstream.cli.tenant import apply
from slipstream.jetstream import stream as streams
from slipstream.jetstream.api import Api, NoJetStream
from slipstream.jetstream.bucket import Bucket
from slipstream.protocol.errors import SlipstreamError
from slipstream.settings import Settings
from slipstream.tenants.document import from_json
from tests.contract.pod import SHAPE, Pod
from tests.contract.users import document
from tests.servers import HOST, NatsServer, free_port, slipstream

ACCOUNTS = """accounts {
  WITH: { jetstream: enabled, users: [ { user: with, password: p } ] }
  WITHOUT: { users: [ { user: without, password: p } ] }
}"""


@asynccontextmanager
async def bare(folder: Path, config: str = "") -> AsyncIterator[NatsServer]:
    """As `nats-server` without `-js`."""
    server = NatsServer(folder, config=config)
    path = server.store.parent / "nats.conf"
    path.write_text(re.sub(r"^jetstream .*$", "", path.read_text(), flags=re.MULTILINE))
    async with server:
        yield server


async def questions(api: Api) -> list[tuple[str, float | None]]:
    """What is told of each way to ask JetStream."""
    told = []
    for asking in (
        Bucket(api).ensure(),
        Bucket(api).get("acme"),
        streams.find(api, "acme"),
        streams.ensure(api, "acme", SHAPE),
        streams.remove(api, "acme"),
    ):
        with pytest.raises(SlipstreamError) as error:
            await asking
        told.append((error.value.message, error.value.retry_after))
    return told


async def test_a_server_without_jetstream_is_told_with_how_to_start_it(tmp_path: Path) -> None:
    async with bare(tmp_path) as nats, Pod(nats.url) as pod:
        ((text, after),) = set(await questions(pod.api))
        assert text.startswith("this NATS has no JetStream: start it with `nats-server -js`")
        assert after is None, "waiting does not help"
        for command in (("tenant", "apply", "-f", "-"), ("publish", "a", "1", "-t", "acme"), ("tenant", "list")):
            async with asyncio.timeout(10.0):  # apply would wait 20 s for what may pass
                done = await slipstream(*command, nats_url=nats.url, stdin=document("acme"))
            assert (done.status, done.stdout, done.stderr) == (1, "", f"slipstream: {text}\n")


async def test_in_a_cluster_another_server_may_have_it(tmp_path: Path) -> None:
    async with (
        bare(tmp_path, f'cluster {{ name: c, listen: "{HOST}:{free_port()}" }}') as nats,
        Pod(nats.url) as pod,
    ):
        ((text, after),) = set(await questions(pod.api))
        assert text.startswith("this NATS has no JetStream, or it is not ready yet: start it with")
        assert after is not None


async def test_an_account_without_jetstream_is_told_with_what_to_write(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, config=ACCOUNTS) as nats:
        async with Pod(nats.url.replace("//", "//without:p@")) as pod:
            ((text, after),) = set(await questions(pod.api))
            assert text.startswith("this account of NATS has no JetStream: write `jetstream: enabled` into the account")
            assert after is None
            with pytest.raises(NoJetStream, match="10039"):
                await pod.api.call("INFO")
        async with Pod(nats.url.replace("//", "//with:p@")) as pod:
            await pod.ensure("acme")


async def test_what_was_waited_for_in_vain_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One node of a cluster of three, which stores nothing before another one is there."""
    monkeypatch.setattr(apply, "_BIRTH_SECONDS", 0.5)
    routes = json.dumps([f"nats://{HOST}:{free_port()}" for _ in range(2)])
    config = f'cluster {{ name: born, listen: "{HOST}:{free_port()}", routes: {routes} }}'
    nats = NatsServer(tmp_path, config=config)
    nats.spawn()
    try:
        async with Pod(nats.url) as pod:
            with pytest.raises(SlipstreamError, match=r"^gave up after 0\.5 s: ") as error:
                await apply._patiently(Api(pod.link, 0.2), Settings(), from_json(document("acme").encode()))
            assert error.value.retry_after is not None
    finally:
        await nats.kill()
    assert capsys.readouterr().err.count("slipstream: waiting up to 0.5 s for JetStream: ") == 1
