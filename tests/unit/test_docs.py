"""What the documentation shows is true of the code: documents, requests, settings, links, and the example package."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from slipstream.edge.parameters import KNOWN
from slipstream.protocol import cloudevents
from slipstream.protocol.control import Reason, code_of
from slipstream.protocol.errors import Code
from slipstream.protocol.event import Record
from slipstream.protocol.publication import parse_publication
from slipstream.protocol.retry import HEADER
from slipstream.settings import Settings
from slipstream.settings.faults import OF_COMMANDS, variable
from slipstream.shape.event import Context, Event
from slipstream.shape.hooks import DropConfig, SignConfig, read
from slipstream.tenants.document import parse_tenants
from slipstream.tenants.part import Part

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
CONFIGS: dict[str, type[Part]] = {"sign": SignConfig, "drop": DropConfig}

_FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SETTING = re.compile(r"\bSLIPSTREAM_[A-Z][A-Z_]*")
_DATA = re.compile(r"-d '(\{.*?\})'", re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text[:40]!r}"


def blocks(*languages: str) -> list[Block]:
    found = (
        Block(page, language, text) for page in PAGES for _, language, text in _FENCE.findall(page.read_text("utf-8"))
    )
    return [block for block in found if block.language in languages]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    prose = _FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_layers_in_the_docs_are_those_that_are_enforced() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    (shown,) = (block.text for block in blocks("") if block.text.startswith("cli\n"))
    # Behind two spaces stands what a layer is for.
    assert [line.split("  ")[0] for line in shown.splitlines()] == [layer for layer in layers if layer != "__main__"]


def broken(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def column(page: str, heading: str, number: int) -> list[str]:
    """The code words in one column of the first table under a heading."""
    section = (DOCS / page).read_text("utf-8").split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row[number])]


@pytest.mark.parametrize("block", [one for one in blocks("yaml") if "kind: Tenant" in one.text], ids=str)
def test_every_tenant_document_can_be_applied(block: Block) -> None:
    for tenant in parse_tenants(block.text):
        for hook in tenant.spec.hooks:
            if hook.name in CONFIGS:
                read(CONFIGS[hook.name], hook.config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {variable(field) for field in Settings.model_fields} | OF_COMMANDS
    named = {name for name in _SETTING.findall(page.read_text("utf-8")) if not name.endswith("_")}
    assert named - known == set()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_block_of_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_block_of_python_is_python(block: Block) -> None:
    ast.parse(block.text)


def test_every_event_that_a_command_sends_would_be_taken() -> None:
    sent = [(block, data) for block in blocks("console") for data in _DATA.findall(block.text)]
    assert len(sent) >= 3
    for block, data in sent:
        if "specversion" in data:
            cloudevents.parse_event(data.encode(), 1_000)
        elif "ce-specversion" not in block.text:
            parse_publication(data.encode(), 1_000)


def test_the_tables_of_reading_have_every_reason_and_every_code() -> None:
    reasons, codes = (column("reading.md", "What to do on a gap", number) for number in (1, 2))
    assert dict(zip(reasons, codes, strict=True)) == {reason.value: code_of(reason).value for reason in Reason}
    errors = column("reading.md", "What to do on an error", 1)
    assert {*errors, *codes} == {code.value for code in Code}


def test_the_table_of_reading_has_every_parameter_that_the_edge_knows() -> None:
    told = column("reading.md", "What can be asked for", 1)
    assert sorted(told) == sorted(KNOWN - {"subject"}), "all but the one of administration"


def test_the_table_of_reading_has_the_headers_that_stand_for_parameters() -> None:
    told = {name.split(":")[0] for name in column("reading.md", "What can be asked for", 2)}
    assert told == {"X-Tenant-ID", "Last-Event-ID", HEADER, "Authorization"}


def test_the_example_package_does_what_its_page_says() -> None:
    source = next(block.text for block in blocks("python") if "def blur" in block.text)
    made: dict[str, Any] = {}
    exec(compile(source, "acme_hooks.py", "exec"), made)

    def no_secret(name: str) -> bytes:
        raise AssertionError(name)

    hook = made["blur"](Context("sky", {"decimals": 2}, no_secret))
    data = b'{"lat":37.61931,"lon":-122.38101}'
    event = Event("e-1", "p", "", 0, data)
    shown = hook(event).data.decode()
    record = Record(1, 1_795_527_707_000, "p", "", data, "AA12")
    key = made["flight"]({"prefix": "sky", "ordered": False})(record, "5tn4z16p")
    page = (DOCS / "hooks.md").read_text("utf-8")
    assert f".{key}\ndata: {shown}\n" in page
    assert hook(event._replace(data=b'{"alt":1}')) is None
    with pytest.raises(ValueError, match="decimals"):
        made["blur"](Context("sky", {"decimals": "many"}, no_secret))
