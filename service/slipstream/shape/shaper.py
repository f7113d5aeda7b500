"""How one tenant's events look: event key, mask and hooks together, as its document has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Final

from slipstream.protocol.event import Record
from slipstream.protocol.position import format_id
from slipstream.shape.chain import Link, make_chain, run
from slipstream.shape.event import Dropped, Event, HookFactory, Outcome, SecretMissing, Undeliverable, Withheld
from slipstream.shape.key import KeyFactory, KeyStrategy, fits, no_key
from slipstream.shape.look import PLAIN, Look
from slipstream.shape.mask import Mask, email, id_card, keyed_hash, phone, redact
from slipstream.shape.masking import Masker, Unmaskable
from slipstream.shape.signature import SECRET_MIN
from slipstream.tenants.fold import fold
from slipstream.tenants.model import Tenant
from slipstream.tenants.shaping import MaskingRule

_METHODS: Final[Mapping[str, Mask]] = {"phone": phone, "id_card": id_card, "email": email, "redact": redact}
_UNDELIVERABLE: Final = Undeliverable()
_UNANSWERED: Final = Withheld("the tenant's hooks have not answered for this event")


class Shaper:
    """How one tenant's events look to its readers. Made anew, by `make_shaper`, when the tenant document changes.

    plain: the look of most readers: no scopes, no envelope.
    foreign: the chain has hooks that are not built in. They run in a child process, and what they answer is read from
        `Record.shaped`.
    masks: every set of scopes that makes a difference; the first is the empty one.
    counts: what happened to events, each counted once for each look: `undeliverable`, `dropped`, `withheld_masking`,
        `withheld_hook`, `withheld_unanswered`, `withheld_faulty` (the tenant's document cannot be carried out),
        and `key_failed` (sent, without a key). What a foreign chain answers is counted by those who run it.
    faults: what has to be mended, one sentence each. With a mask or a hook that cannot be made no event passes.
    """

    def __init__(
        self,
        *,
        key: KeyStrategy = no_key,
        maskers: Mapping[frozenset[str], Masker | None],
        links: Sequence[Link] = (),
        foreign: bool = False,
        faults: Sequence[str] = (),
        closed: str | None = None,
    ) -> None:
        self.plain = PLAIN
        self.foreign = foreign
        self.masks = tuple(maskers)
        self.counts: Counter[str] = Counter()
        self.faults = tuple(faults)
        self._key = None if key is no_key else key
        self._maskers = dict(maskers)
        self._scopes = frozenset().union(*maskers)
        self._links = tuple(links)
        self._closed = None if closed is None else Withheld(closed)
        self._bare = not (self._key or self._scopes or links or foreign or closed)

    def look(self, scopes: Collection[str], *, envelope: bool) -> Look:
        """The look of a reader whose token has these scopes."""
        look = Look(self._scopes.intersection(scopes), envelope)
        # One object for nearly all readers: there is a look in every view.
        return PLAIN if look == PLAIN else look

    def masked(self, record: Record, epoch: str, scopes: frozenset[str]) -> Event | Withheld | Undeliverable:
        """The event with its id and key, masked for readers who have these scopes; no hook has seen it."""
        if record.fault is not None:
            self.counts["undeliverable"] += 1
            return _UNDELIVERABLE
        if self._closed is not None:
            self.counts["withheld_faulty"] += 1
            return self._closed
        masker = self._masker(scopes)
        data = record.data
        if masker is not None:
            try:
                data = masker.mask(data)
            except Unmaskable as error:
                self.counts["withheld_masking"] += 1
                return Withheld(f"{error}, so the fields to mask cannot be found for sure")
        key = None if self._key is None else self._key_of(record, epoch, self._key)
        return Event(
            format_id(epoch, record.seq, record.time_ms, key), record.topic, record.event, record.time_ms, data
        )

    def outcome(self, record: Record, epoch: str, look: Look) -> Outcome:
        """What readers of this look get of a record: called once for each event and look."""
        if self._bare and record.fault is None:  # most tenants: no more than making the event
            return Event(
                format_id(epoch, record.seq, record.time_ms), record.topic, record.event, record.time_ms, record.data
            )
        if self.foreign and self._closed is None and record.fault is None:
            return self._answered(record, look.scopes)
        event = self.masked(record, epoch, look.scopes)
        if not self._links or not isinstance(event, Event):
            return event
        outcome = run(self._links, event)
        if isinstance(outcome, Withheld):
            self.counts["withheld_hook"] += 1
        elif isinstance(outcome, Dropped):
            self.counts["dropped"] += 1
        return outcome

    def _masker(self, scopes: frozenset[str]) -> Masker | None:
        try:
            return self._maskers[scopes]
        except KeyError:  # a look from before the document changed: what no rule asks for now opens nothing
            return self._maskers[self._scopes & scopes]

    def _answered(self, record: Record, scopes: frozenset[str]) -> Outcome:
        # A look may be from before the document changed: what no rule asks for now opens nothing.
        found = None if record.shaped is None else record.shaped.get(self._scopes & scopes)
        if isinstance(found, Event | Withheld | Dropped | Undeliverable):
            return found
        self.counts["withheld_unanswered"] += 1
        return _UNANSWERED

    def _key_of(self, record: Record, epoch: str, strategy: KeyStrategy) -> str | None:
        try:
            key = strategy(record, epoch)
        except Exception:  # noqa: BLE001 - somebody else's code, and a key is for the eyes only; counted below
            key = ""
        if key is None or fits(key):
            return key
        self.counts["key_failed"] += 1
        return None


def make_shaper(
    tenant: Tenant,
    secrets: Callable[[str, str], bytes],
    hooks: Mapping[str, HookFactory],
    keys: Mapping[str, KeyFactory],
    foreign: Collection[str] = (),
) -> Shaper:
    """The shaper of a tenant. Never raises: what cannot be made is in its `faults`, and no event passes.

    secrets: the bytes of a secret by tenant and name; raises SecretMissing. hooks, keys: what may run in this process,
    by name (`hooks.installed` finds them). foreign: the names of hooks that run in another process: with one of them
    in the chain all of it runs there, in its order.
    """
    spec = tenant.spec

    def secret(name: str) -> bytes:
        return secrets(tenant.name, name)

    key, key_faults = _key(tenant, keys)
    masks, mask_faults = _masks(spec.masking, secret)
    away = any(hook.name in foreign for hook in spec.hooks)
    chain = make_chain(tenant.name, [hook for hook in spec.hooks if hook.name not in foreign], secret, hooks)
    closing = mask_faults + chain.faults
    return Shaper(
        key=key,
        maskers=_maskers(spec.masking, masks),
        links=() if away else chain.links,
        foreign=away,
        faults=key_faults + closing,
        closed="; ".join(closing) or None,
    )


def _key(tenant: Tenant, keys: Mapping[str, KeyFactory]) -> tuple[KeyStrategy, tuple[str, ...]]:
    spec = tenant.spec.event_key
    factory = keys.get(spec.strategy)
    if factory is None:
        known = ", ".join(sorted(keys)) or "none"
        return no_key, (f"event key {spec.strategy}: no package has it; ids have no key (there are: {known})",)
    try:
        return factory({**spec.config, "prefix": spec.prefix, "ordered": tenant.spec.ordered}), ()
    except Exception as error:  # noqa: BLE001 - somebody else's code; told as the tenant's fault
        return no_key, (f"event key {spec.strategy}: {error}; ids have no key",)


def _masks(rules: Sequence[MaskingRule], secret: Callable[[str], bytes]) -> tuple[dict[str, Mask], tuple[str, ...]]:
    """The mask of each rule by its folded field; one that cannot be made is `redact`, and a fault."""
    masks: dict[str, Mask] = {}
    faults: list[str] = []
    for rule in rules:
        mask = _METHODS.get(rule.method, redact)
        if rule.secret is not None:
            try:
                key = secret(rule.secret)
            except SecretMissing as error:
                faults.append(f"masking {rule.field}: {error}")
            else:
                if len(key) < SECRET_MIN:
                    faults.append(
                        f"masking {rule.field}: the secret {rule.secret} has {len(key)} bytes; "
                        f"use at least {SECRET_MIN} random ones"
                    )
                mask = keyed_hash(key)
        masks[fold(rule.field)] = mask
    return masks, tuple(faults)


def _maskers(rules: Sequence[MaskingRule], masks: Mapping[str, Mask]) -> dict[frozenset[str], Masker | None]:
    """A masker for each set of scopes; None where its readers see everything. The empty set is the first."""
    scopes = sorted({rule.scope for rule in rules})
    views = (frozenset(view) for size in range(len(scopes) + 1) for view in combinations(scopes, size))
    maskers: dict[frozenset[str], Masker | None] = {}
    for view in views:
        shut = {name: masks[name] for name in (fold(rule.field) for rule in rules if rule.scope not in view)}
        maskers[view] = Masker(shut) if shut else None
    return maskers
