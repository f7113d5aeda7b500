"""Tenant documents as text: YAML or JSON in, canonical JSON out, every fault of every document told at once."""

import difflib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, get_args

import orjson
import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from slipstream.protocol.errors import quoted
from slipstream.tenants.model import Tenant


class TenantError(ValueError):
    """Documents that are no tenants. `faults` has one line for each thing to correct; the message has them all."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def parse_tenants(text: str) -> list[Tenant]:
    """The tenants of a YAML text (one or several documents) or a JSON text, in order; Kubernetes' `List`s are opened.

    Raises TenantError with all faults, each with the document's place, its name and the path of the field.
    """
    tenants: list[Tenant] = []
    faults: list[str] = []
    seen: set[str] = set()
    for number, document in enumerate(_documents(text), 1):
        try:
            tenant = _tenant(document)
        except TenantError as error:
            faults += (f"{_place(number, document)}: {fault}" for fault in error.faults)
            continue
        if tenant.name in seen:
            faults.append(f"{_place(number, document)}: metadata.name: an earlier document has this name; remove one")
        seen.add(tenant.name)
        tenants.append(tenant)
    if faults:
        raise TenantError(faults)
    if not tenants:
        raise TenantError(["the text has no document in it; a tenant has apiVersion, kind, metadata and spec"])
    return tenants


def to_json(tenant: Tenant) -> bytes:
    """The document as canonical JSON: sorted keys, no spaces, unset limits left out. Equal tenants, equal bytes."""
    return orjson.dumps(tenant.model_dump(mode="json", by_alias=True, exclude_none=True), option=orjson.OPT_SORT_KEYS)


def from_json(data: bytes | str) -> Tenant:
    """The tenant of one JSON document. Raises TenantError with all faults."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise TenantError([f"not JSON: {error}"]) from error
    return _tenant(document)


def _tenant(document: object) -> Tenant:
    if not isinstance(document, dict):
        raise TenantError([f"{quoted(str(document))} is no document: begin with apiVersion, kind and metadata"])
    try:
        return Tenant.model_validate(document)
    except ValidationError as error:
        raise TenantError(_fault(detail) for detail in error.errors(include_url=False)) from error


def _documents(text: str) -> Iterator[object]:
    # YAML holds JSON but for the tabs that JSON may be indented with; in JSON's strings a bare tab is not allowed.
    if text.lstrip().startswith("{"):
        text = text.replace("\t", " ")
    try:
        documents = [one for one in yaml.load_all(text, _Loader) if one is not None]
    except yaml.YAMLError as error:
        raise TenantError([f"not YAML or JSON: {error}"]) from error
    except (ValueError, RecursionError) as error:
        # PyYAML lets through what Python says of a date like 2001-99-99, and of nesting without end.
        raise TenantError([f"not a tenant document: {error}"]) from error
    for document in documents:
        match document:
            case {"kind": "List", "items": [*items]}:
                yield from items
            case _:
                yield document


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice, where YAML's would let the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {quoted(key.value)} is there twice; remove one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _place(number: int, document: object) -> str:
    match document:
        case {"metadata": {"name": str(name)}}:
            return f"document {number} ({quoted(name)})"
        case _:
            return f"document {number}"


def _fault(detail: ErrorDetails) -> str:
    path = ".".join(map(str, detail["loc"]))
    match detail["type"]:
        case "extra_forbidden":
            return f"{path}: there is no such field; {_advice(detail['loc'])}"
        case "missing":
            return f"{path}: it is missing"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{path}: it should be a mapping of fields"
        case _:
            reason = detail["msg"].removeprefix("Value error, ").replace("Input should", "it should", 1)
            return f"{path}: {reason}"


def _advice(loc: Sequence[str | int]) -> str:
    model: type[BaseModel] = Tenant
    for step in loc[:-1]:
        if isinstance(step, int):  # the number of an item of a list, whose model is the list's
            continue
        info = next(info for name, info in model.model_fields.items() if step in (name, info.alias))
        model = next(one for one in (info.annotation, *get_args(info.annotation)) if _is_model(one))
    known = [info.alias or name for name, info in model.model_fields.items()]
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _is_model(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)
