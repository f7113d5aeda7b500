"""Who may issue tokens for a tenant, and how those are checked."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from slipstream.protocol.errors import quoted
from slipstream.tenants.part import Part
from slipstream.tenants.quantity import parse_duration
from slipstream.tenants.shaping import Name
from slipstream.tenants.url import Url

AUDIENCE: Final = "slipstream"
KEYS_MAX: Final = 32
"""Most keys that a document holds itself."""
KID_MAX: Final = 128
"""Longest name of a key."""

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256"
]  # fmt: skip

_DAY: Final = 86_400
LIFETIME_MAX: Final = 3_650 * _DAY
"""Seconds; no issuer may give a token for longer."""

# What an RSA, EC, OKP or symmetric key has that nobody else may know (RFC 7518 section 6).
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
)


def _key(key: dict[str, Any]) -> dict[str, Any]:
    needed = _NEEDED.get(str(key.get("kty")))
    if needed is None:
        raise ValueError(f"kty is one of {', '.join(_NEEDED)}")
    if secret := sorted(_PRIVATE.intersection(key)):
        raise ValueError(f"this is a private key: leave out {', '.join(secret)}")
    for name in (*needed, "kid"):
        if name in key and not isinstance(key[name], str):
            raise ValueError(f"{name} is a string")
        if name != "kid" and name not in key:
            raise ValueError(f"a key of kty {key['kty']} has {', '.join(needed)}")
    if len(key.get("kid", "")) > KID_MAX:
        raise ValueError(f"kid has at most {KID_MAX} characters")
    return key


def _key_set(value: Any) -> Any:
    return value["keys"] if isinstance(value, dict) and value.keys() == {"keys"} else value


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("write it as it stands in the token")
    return text


_Duration = Annotated[
    int, Field(strict=True), BeforeValidator(lambda value: parse_duration(value) if isinstance(value, str) else value)
]
_Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_printable)]
_Key = Annotated[dict[str, Any], AfterValidator(_key)]


class Issuer(Part):
    """One issuer of tokens. Of `jwks_url`, `keys` and `secret` it has exactly one.

    issuer: the tokens' `iss`, to the letter.
    jwks_url: where its public keys are (RFC 7517 section 5): https; http only for a loopback address.
    keys: the public keys themselves, as a JWK Set or its list.
    secret: the tenant's secret of that name, for HS256. Whoever can check such a token can also make one.
    algorithms: what it signs with (RFC 7518 section 3.1). A token says its own, too, and is refused for any other.
    audience: one of the tokens' `aud`.
    max_lifetime: seconds; a token that is good for longer is refused.
    """

    issuer: _Text
    jwks_url: Url | None = None
    keys: Annotated[tuple[_Key, ...], Field(min_length=1, max_length=KEYS_MAX), BeforeValidator(_key_set)] | None = None
    secret: Name | None = None
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] | None = None
    audience: _Text = AUDIENCE
    max_lifetime: Annotated[_Duration, Field(ge=1, le=LIFETIME_MAX)] = _DAY

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("jwks_url", "keys", "secret") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of jwks_url, keys and secret, not {' and '.join(given) or 'none'}")
        wrong = [one for one in self.allowed if (one == "HS256") != (self.secret is not None)]
        if wrong:
            # The attack on a list with both: a public key, which anybody has, taken for an HMAC secret.
            raise ValueError(f"{given[0]} is not for {quoted(wrong[0])}: HS256 goes with secret, all others with keys")
        return self

    @property
    def allowed(self) -> tuple[str, ...]:
        """The algorithms; where the document names none, HS256 for a secret, RS256, ES256 and EdDSA for keys."""
        return self.algorithms or (("HS256",) if self.secret is not None else ("RS256", "ES256", "EdDSA"))


def apart(issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
    """These issuers. Raises ValueError where two have one name, because a token could mean either."""
    seen: set[str] = set()
    for one in issuers:
        if one.issuer in seen:
            raise ValueError(f"the issuer {quoted(one.issuer)} is there twice: leave one")
        seen.add(one.issuer)
    return issuers


Issuers = Annotated[
    tuple[Issuer, ...],
    Field(max_length=16),
    BeforeValidator(lambda value: () if value is None else value),
    AfterValidator(apart),
]
