"""The examples of the page about the client, run as they stand there, in their order, against an edge."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster
from tests.servers import HOST

LOOPS = ("uvloop",)

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
PRINTED = [
    r"[a-z0-9]{8}-1 1 False\n",
    r"stored as [a-z0-9]{8}-2\n",
    r'[a-z0-9]{8}-1-[0-9a-z]+ created \{"total":42\}\n',
    r'\{"total":42\}\n',
    r"max-jitter=50ms, backoff=linear, idempotency-aware=false, max-attempts=3, retryable=\(408 429 5xx\)\n",
]


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def run(code: str, cluster: Cluster, port: int) -> None:
    """What `asyncio.run(main())` at the end of an example does, with this test's loop, edge and tenant."""
    assert "http://localhost:8080" in code
    here = code.replace("http://localhost:8080", f"http://{HOST}:{port}").replace('"acme"', f'"{cluster.tenant}"')
    tree = ast.parse(here)
    assert ast.unparse(tree.body.pop()) == "asyncio.run(main())"
    made: dict[str, Any] = {}
    exec(compile(tree, "client.md", "exec"), made)
    await made["main"]()


async def test_every_example_does_what_it_is_there_for(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with cluster.edge() as running:
        port = running.server.port
        for code, printed in zip(examples(), PRINTED, strict=True):
            await run(code, cluster, port)
            assert re.fullmatch(printed, capsys.readouterr().out)
        assert not (tmp_path / "order-42.json").exists()
        # The reader that is started again goes on behind what it has seen.
        reader = next(code for code in examples() if "orders.json" in code)
        assert "-1-" in (tmp_path / "orders.json").read_text()
        await run(reader, cluster, port)
        assert "-2-" in (tmp_path / "orders.json").read_text()
