"""The settings themselves, each with its default, unit, bounds and reason."""

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from slipstream.settings.faults import (
    OF_COMMANDS,
    PREFIX,
    Contradiction,
    ContradictionsFound,
    SettingsError,
    contradictions,
    unknown,
    variable,
    wrong_values,
)
from slipstream.settings.values import (
    Directory,
    IssuersFile,
    Lower,
    Milliseconds,
    NatsUrls,
    Networks,
    Octets,
    Password,
    Port,
    ReadableFile,
    Scopes,
    Seconds,
)

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_GIB: Final = 1024 * _MIB
_DAY: Final = 86_400


class Settings(BaseSettings):
    """Everything that can be set. `Settings()` is the defaults, whatever the environment holds; `load` reads it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    nats_url: NatsUrls = Field(
        "nats://127.0.0.1:4222",
        examples=["nats://nats-0:4222,nats://nats-1:4222"],
        description="NATS servers, separated by commas; the default is a server on the same machine",
    )
    nats_creds: ReadableFile | None = Field(
        None,
        examples=["/etc/slipstream/edge.creds"],
        description="NATS credentials file (JWT and seed); none, because a server of one's own may need no login",
    )
    nats_user: str | None = Field(
        None, examples=["edge"], description="NATS user, where no credentials file is used; needs the password"
    )
    nats_password: Password = Field(
        None, examples=["(from a secret)"], description="Password of the NATS user; never logged"
    )
    nats_tls_ca: ReadableFile | None = Field(
        None,
        examples=["/etc/slipstream/ca.pem"],
        description="Authorities (PEM) that the NATS server's certificate is checked against; none means the system's",
    )
    nats_tls_cert: ReadableFile | None = Field(
        None,
        examples=["/etc/slipstream/tls.pem"],
        description="Client certificate (PEM) for NATS, where the server asks for one; needs the key",
    )
    nats_tls_key: ReadableFile | None = Field(
        None, examples=["/etc/slipstream/tls.key"], description="Key (PEM) of the client certificate for NATS"
    )

    host: str = Field(
        "0.0.0.0",  # noqa: S104
        min_length=1,
        description="Address to listen on; all, because a pod is reached by its IP",
    )
    port: Port = Field(8080, description="Port of the clients; 0 takes a free one")
    admin_port: Port = Field(
        8081,
        description="Port of `/livez`, `/readyz`, `/statusz`; 0 takes a free one. Its own, so that no ingress shows it",
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Most client streams of this process; 0 takes what the descriptor limit allows, and more are never "
        "taken",
    )
    connections_per_address: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Most streams and polls at once of one client address (of IPv6 a /64) in this process; "
        "0 is no limit, as behind an ingress everybody has its address where `SLIPSTREAM_TRUSTED_PROXIES` is not set",
    )
    connect_rate: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Most streams and polls that begin in a second, of all tenants: two thirds of what a core opens, "
        "so that those who are in get their events meanwhile",
    )
    sndbuf: Octets = Field(
        128 * _KIB,
        ge=4 * _KIB,
        le=16 * _MIB,
        description="Kernel send buffer of one stream: a reader that stops costs 4.3 MB where the kernel decides",
    )
    trusted_proxies: Networks = Field(
        (),
        examples=["10.0.0.0/8,fd00::/8"],
        description="Networks whose `X-Forwarded-For` is believed, separated by commas; none, as anyone can send it",
    )
    head_deadline: Seconds = Field(
        10, ge=0.1, le=300, description="A request's head must be complete by then, or a slow sender would hold a slot"
    )
    body_deadline: Seconds = Field(10, ge=0.1, le=300, description="A request's body must be complete by then")

    auth: Annotated[Literal["jwt", "none"], Lower] = Field(
        "jwt", description="Who may read and publish: `jwt`, or `none` for everybody, on a laptop or in a test"
    )
    anonymous_scopes: Scopes = Field(
        ("subscribe", "publish"),
        examples=["subscribe,publish,pii:read"],
        description="What everybody may do where `auth` is `none`, separated by commas; to see masked fields is extra",
    )
    secrets: Directory | None = Field(
        None,
        examples=["/etc/slipstream/secrets"],
        description="Directory of the tenants' secrets, each a file `TENANT/NAME`: for masking by hash and for signing",
    )
    issuers: IssuersFile | None = Field(
        None,
        examples=["/etc/slipstream/issuers.yaml"],
        description="File of the default issuers of tokens; without any, every protected call is 401",
    )

    deny_private_networks: bool = Field(
        False,
        description="Whether URLs of documents (`jwks_url`, `authorizer`) must lead into the internet: for a platform "
        "whose tenants write their own documents; off, as an issuer of one's own is often in the same network",
    )

    heartbeat: Seconds = Field(
        15, ge=0.1, le=300, description="Longest silence on a stream: under the 60 s after which most proxies close it"
    )
    write_deadline: Seconds = Field(
        30,
        ge=0.1,
        le=600,
        description="A reader that takes no byte for so long is closed; a phone that changes networks is back sooner",
    )
    retry_ms: Milliseconds = Field(
        3_000,
        ge=1_000,
        le=600_000,
        description="Base of the `retry:` that clients get, jittered for each so that they do not return together",
    )
    drain_delay: Seconds = Field(
        5,
        ge=0,
        le=300,
        description="Time for which a process that was told to stop goes on serving, not ready, until ingresses know",
    )
    drain: Seconds = Field(
        60, ge=0, le=3_600, description="Time over which a stopping process sends its clients away, little by little"
    )

    event_bytes: Octets = Field(
        256 * _KIB,
        ge=1,
        le=8 * _MIB,
        description="Largest event, where the tenant says nothing; over 1 MiB needs a higher `max_payload` of NATS",
    )
    publish_events: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Most events of one publish over HTTP: an answer within a second, also on a busy pod",
    )
    publish_bytes: Octets = Field(
        4 * _MIB,
        ge=_KIB,
        le=256 * _MIB,
        description="Largest body of a publish over HTTP, inflated; one largest event always fits",
    )
    publish_inflight: Octets = Field(
        64 * _MIB,
        ge=64 * _KIB,
        le=64 * _GIB,
        description="What the bodies of all publishes under way may take together; one tenant gets as much as it "
        "leaves free, so that there is always room for another",
    )
    memory_limit: Octets = Field(
        0,
        ge=0,
        description="Memory of this process: from 85 % on new streams and publishes are refused, until below 80 %; "
        "0 takes the limit of the control group, where there is one",
    )
    topics_per_stream: int = Field(
        32, ge=1, le=1_000, description="Most topics one stream may name, where the tenant says nothing"
    )
    ring_events: int = Field(
        1_000, ge=1, le=1_000_000, description="Most recent events of a tenant in memory: they serve a reconnect storm"
    )
    ring_bytes: Octets = Field(
        256 * _KIB, ge=_KIB, le=_GIB, description="Most bytes of a tenant's recent events; older ones come from NATS"
    )
    ring_seconds: Seconds = Field(
        120, ge=1, le=_DAY, description="Age at which an event leaves memory; most clients are back sooner"
    )
    rings_bytes: Octets = Field(
        256 * _MIB,
        ge=_KIB,
        le=64 * _GIB,
        description="Most bytes of the recent events of all tenants together; the quietest give way first",
    )
    replay_events: int = Field(
        100_000, ge=1, le=100_000_000, description="Most events one resume replays, where the tenant says nothing"
    )
    replay_inflight: int = Field(
        4,
        ge=1,
        le=64,
        description="Reads of the log under way at once for one tenant, and twice as many for all: they keep a server "
        "busy, not flooded",
    )
    hook_budget: Seconds = Field(
        0.05, ge=0.001, le=10, description="What hooks of packages may take for one event; it is withheld after that"
    )
    hook_memory: Octets = Field(
        256 * _MIB,
        ge=64 * _MIB,
        le=16 * _GIB,
        description="Address space of the process that runs a tenant's hooks of packages; Python itself takes 30 MiB",
    )
    linger: Seconds = Field(
        60, ge=0, le=3_600, description="A tenant's feed is kept so long after its last client, who may be coming back"
    )
    lease: Seconds = Field(
        15, ge=1, le=300, description="A process unheard of for so long gives back its share of the quotas"
    )
    retention_seconds: Seconds = Field(
        _DAY,
        ge=120,
        le=3_650 * _DAY,
        description="Age at which a stored event goes, where the tenant says nothing; "
        "NATS refuses less than the 120 s in which it de-duplicates",
    )
    retention_bytes: Octets = Field(
        _GIB,
        ge=_KIB,
        description="Most stored bytes of a tenant that says nothing; NATS reserves the sum over all tenants",
    )

    loop: Annotated[Literal["uvloop", "asyncio"], Lower] = Field(
        "uvloop", description="Event loop; `uvloop` is the faster, `asyncio` is there to compare with"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lower] = Field(
        "info", description="Least severity that is logged"
    )
    log_format: Annotated[Literal["json", "text"], Lower] = Field(
        "json", description="One JSON object a line for collectors, or `text` for people"
    )

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The NATS servers' URLs, one by one."""
        return tuple(self.nats_url.split(","))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings from an environment (the process's own, unless given). An empty variable counts as not set.

        Raises SettingsError with every fault at once: wrong values, contradictions, and SLIPSTREAM_ variables that no
        setting has.
        """
        environ = os.environ if environ is None else environ
        given = {name: text for name, text in environ.items() if name.startswith(PREFIX) and text}
        known = {variable(field): field for field in cls.model_fields}
        faults = [unknown(name, given[name], known) for name in sorted(given.keys() - known - OF_COMMANDS)]
        texts = {field: given[name] for name, field in known.items() if name in given}
        values = _Environment(cls, texts)()
        try:
            settings = cls(**values)
        except ValidationError as error:
            wrong = wrong_values(error, texts, cls.model_fields)
            faults += wrong.values()
            # With the wrong values out of the way, the right ones can still contradict one another.
            for one in cls._contradictions({field: value for field, value in values.items() if field not in wrong}):
                if wrong.keys().isdisjoint(one.fields):
                    faults.append(f"{variable(one.fields[0])}: {one.message}")
            raise SettingsError(faults) from error
        if faults:
            raise SettingsError(faults)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: the library would read the environment in every construction, tests included."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @classmethod
    def _contradictions(cls, values: Mapping[str, Any]) -> list[Contradiction]:
        try:
            cls(**values)
        except ValidationError as error:
            return list(contradictions(error))
        return []

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(_contradictions_in(self))
        if found:
            raise ContradictionsFound(found)
        return self


class _Environment(EnvSettingsSource):
    """The library's reading of variables into fields, from the texts given instead of the process's environment."""

    def __init__(self, settings_cls: type[BaseSettings], texts: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {variable(field).lower(): text for field, text in texts.items()}


def _contradictions_in(settings: Settings) -> Iterator[Contradiction]:
    for one, other in (
        ("nats_tls_cert", "nats_tls_key"),
        ("nats_tls_key", "nats_tls_cert"),
        ("nats_user", "nats_password"),
        ("nats_password", "nats_user"),
    ):
        if getattr(settings, one) is not None and getattr(settings, other) is None:
            yield Contradiction((one, other), f"it is of no use alone; set {variable(other)} too")
    for one in ("nats_user", "nats_password"):
        if settings.nats_creds is not None and getattr(settings, one) is not None:
            yield Contradiction((one, "nats_creds"), f"there is a login in {variable('nats_creds')} already; unset one")
    if settings.port == settings.admin_port != 0:
        yield Contradiction(("admin_port", "port"), f"port {settings.port} is the clients'; choose another")
    for small, large in (("ring_bytes", "rings_bytes"), ("event_bytes", "retention_bytes")):
        if getattr(settings, small) > getattr(settings, large):
            yield Contradiction(
                (large, small),
                f"{getattr(settings, large)} is less than {variable(small)}={getattr(settings, small)}; raise it",
            )
