"""A tenant's authorizer: the webhook that has the last word on what a token allows (`spec.authorizer`)."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from slipstream.tenants.part import Part
from slipstream.tenants.quantity import parse_duration
from slipstream.tenants.url import Url

TIMEOUT: Final = 2.0
"""Seconds for an answer, where the tenant does not say."""

CACHE: Final = 30
"""Seconds for which an answer counts, where the tenant does not say."""


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


class Authorizer(Part):
    """Asked after a token was found to be right. There is no way to let callers in when it does not answer.

    url: where the question is posted: https; http only for a loopback address.
    timeout: seconds within which its answer has to be there.
    cache: seconds for which an answer counts; 0 asks every time. Never for longer than the token is good.
    """

    url: Url
    timeout: Annotated[float, Field(strict=True, ge=0.1, le=10, allow_inf_nan=False), BeforeValidator(_duration)] = (
        TIMEOUT
    )
    cache: Annotated[int, Field(strict=True, ge=0, le=3_600), BeforeValidator(_duration)] = CACHE
