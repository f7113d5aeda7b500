"""The tenant document (`apiVersion: slipstream.dev/v1alpha1`, `kind: Tenant`) as one typed, frozen model.

The same model reads the YAML that people write, the value in the NATS bucket and the Kubernetes object. A limit that
is None is the pod's default (`SLIPSTREAM_*`).
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from slipstream.protocol.errors import SlipstreamError
from slipstream.protocol.topic import check_tenant
from slipstream.tenants.authorizer import Authorizer
from slipstream.tenants.cors import Cors
from slipstream.tenants.issuer import Issuers
from slipstream.tenants.part import Part
from slipstream.tenants.quantity import parse_duration, parse_size
from slipstream.tenants.retry import Retry
from slipstream.tenants.shaping import EventKey, EventKeys, Hooks, Masking

API_VERSION: Final = "slipstream.dev/v1alpha1"
KIND: Final = "Tenant"

_DAY: Final = 86_400
_KIB: Final = 1_024
_MIB: Final = 1_024 * _KIB

# What Kubernetes and its tools put into metadata. A document from `kubectl get -o yaml` can be applied again, while a
# slip of the pen is still refused.
_KUBERNETES_METADATA: Final = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "labels",
        "managedFields",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


def _name(text: str) -> str:
    try:
        return check_tenant(text)
    except SlipstreamError as error:
        raise ValueError(error.message) from error


def _read(parse: Callable[[str], int]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _without(names: frozenset[str], value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in names}


# An empty `spec:` in YAML is null.
_NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)
_Duration = Annotated[int, Field(strict=True), _read(parse_duration)]
_Size = Annotated[int, Field(strict=True), _read(parse_size)]
_Count = Annotated[int, Field(strict=True)]


class Retention(Part):
    """How long and how much of the tenant's log is kept; what is older or over it goes from the front.

    max_age: seconds, at least the 120 in which NATS de-duplicates (it refuses less, error 10052).
    max_bytes: NATS reserves the sum over all tenants.
    """

    max_age: Annotated[_Duration, Field(ge=120, le=3_650 * _DAY)] | None = None
    max_bytes: Annotated[_Size, Field(ge=_KIB)] | None = None


class Publish(Part):
    """What producers owe over HTTP.

    idempotency: `required` refuses an event without an id (428), so that every retry is safe.
    """

    idempotency: Literal["optional", "required"] = "optional"


class Quotas(Part):
    """What the tenant may have at once, and a second, over all processes together. None: no limit.

    connections: open streams. connections_per_subject: of one token's subject among them. connect_rate: streams begun
    a second. publish_rate: events a second over HTTP.
    """

    connections: Annotated[_Count, Field(ge=0, le=10_000_000)] | None = None
    connections_per_subject: Annotated[_Count, Field(ge=1, le=1_000_000)] | None = None
    connect_rate: Annotated[_Count, Field(ge=1, le=1_000_000)] | None = None
    publish_rate: Annotated[_Count, Field(ge=1, le=10_000_000)] | None = None


class TenantSpec(Part):
    """What a tenant may have. All of it can be left out.

    replicas: copies of the log; more than one needs as many NATS servers in a cluster.
    event_bytes: largest event. topics_per_stream: most topics one stream may name. replay_events: most events that one
    resume replays. compression: `gzip` for readers that accept it, or `none`, where events mix secrets with what an
    attacker chooses (BREACH). publish: what producers owe. quotas: limits
    over all processes. retry: when clients may come back. cors: which pages of other origins may read and publish.
    ordered: whether readers should see time and sequence in ids (`event_key: auto`). event_key, masking, hooks: how the
    events look to readers, in this order.
    issuers: whose tokens count; without any, the pod's default ones (`SLIPSTREAM_ISSUERS`). authorizer: who has
    the last word on each call. access_token_in_url: whether a token may come in the URL, where proxies and histories
    keep it.
    """

    retention: Annotated[Retention, _NullIsEmpty] = Retention()
    replicas: Annotated[_Count, Field(ge=1, le=5)] = 1
    event_bytes: Annotated[_Size, Field(ge=1, le=8 * _MIB)] | None = None
    topics_per_stream: Annotated[_Count, Field(ge=1, le=1_000)] | None = None
    replay_events: Annotated[_Count, Field(ge=1, le=100_000_000)] | None = None
    compression: Literal["gzip", "none"] | None = None
    publish: Annotated[Publish, _NullIsEmpty] = Publish()
    quotas: Annotated[Quotas, _NullIsEmpty] = Quotas()
    retry: Retry | None = None
    cors: Cors | None = None
    ordered: Annotated[bool, Field(strict=True)] = False
    event_key: EventKeys = EventKey()
    masking: Masking = ()
    hooks: Hooks = ()
    issuers: Issuers = ()
    authorizer: Authorizer | None = None
    access_token_in_url: Annotated[bool, Field(strict=True)] = False


class Metadata(Part):
    """Who the tenant is. What Kubernetes adds to metadata is accepted and dropped."""

    name: Annotated[str, AfterValidator(_name)]

    @model_validator(mode="before")
    @classmethod
    def _drop_kubernetes(cls, value: Any) -> Any:
        return _without(_KUBERNETES_METADATA, value)


class Tenant(Part):
    """One tenant. Compared by value; made from text by `parse_tenants` and `from_json`."""

    api_version: Annotated[Literal["slipstream.dev/v1alpha1"], Field(alias="apiVersion")]
    kind: Literal["Tenant"]
    metadata: Metadata
    spec: Annotated[TenantSpec, _NullIsEmpty] = TenantSpec()

    @classmethod
    def of(cls, name: str, spec: TenantSpec | None = None) -> Self:
        """A tenant of this name. Raises pydantic's ValidationError when it is no tenant's name."""
        return cls(api_version=API_VERSION, kind=KIND, metadata=Metadata(name=name), spec=spec or TenantSpec())

    @property
    def name(self) -> str:
        """The tenant's name: a DNS label."""
        return self.metadata.name

    @model_validator(mode="before")
    @classmethod
    def _drop_status(cls, value: Any) -> Any:
        return _without(frozenset({"status"}), value)
