"""The hooks that come with Slipstream, entry points of the group `slipstream.hooks` like those of anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationError

from slipstream.shape.condition import Condition, check_of, document_of
from slipstream.shape.event import Context, Event, Hook, HookFactory
from slipstream.shape.signature import Algorithm, signer
from slipstream.tenants.part import Part
from slipstream.tenants.shaping import Name

Config = TypeVar("Config", bound=Part)

_CONDITIONS_MAX: Final = 16


class SignConfig(Part):
    """alg: of the signature. secret: the name of the tenant's secret with the key. kid: what verifiers know it by."""

    alg: Algorithm
    secret: Name
    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class DropConfig(Part):
    """when: the conditions that must all hold; for either of two give two hooks."""

    when: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=_CONDITIONS_MAX)]


def sign(context: Context) -> Hook:
    """Signs each event (`slipstream.shape.signature` says what is covered) for readers to verify.

    Raises ValueError for a config or a key that it cannot work with, SecretMissing where there is no key.
    """
    config = read(SignConfig, context.config)
    signature = signer(config.alg, config.kid, context.secret(config.secret))
    return lambda event: event._replace(signature=signature(event))


def drop(context: Context) -> Hook:
    """Leaves out the events for which all conditions hold; they are no gap, as if they had another topic.

    It sees what the reader would see: in a view in which a value is masked, the mask is compared. Raises ValueError
    for a config that it cannot work with.
    """
    conditions = read(DropConfig, context.config).when
    checks = [check_of(each) for each in conditions]
    looks_inside = any(each.pointer is not None for each in conditions)

    def hook(event: Event) -> Event | None:
        document = document_of(event) if looks_inside else None
        return None if all(check(event, document) for check in checks) else event

    return hook


BUILT_IN: Final[Mapping[str, HookFactory]] = MappingProxyType({"sign": sign, "drop": drop})
"""The hooks that may run where events are sent; all others are foreign."""


def read(model: type[Config], config: Mapping[str, Any]) -> Config:
    """The config of a hook. Raises ValueError with all its faults in one line."""
    try:
        return model.model_validate(config)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A list with a faulty item is told to be too short, too: the item is what matters.
        inner = {each["loc"][:length] for each in found for length in range(len(each["loc"]))}
        faults = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in found
            if each["loc"] not in inner
        ]
        raise ValueError("; ".join(faults)) from error
