"""NATS users as text: configuration of nats-server (decentralised or not), or JSON. Pure."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from slipstream.jetstream.permissions import ACCOUNT, EXPORTED, Permissions, account_of, imported, inbox_prefix

_UNLIMITED = "--js-mem-storage -1 --js-disk-storage -1 --js-streams -1 --js-consumer -1"


class User(NamedTuple):
    """A NATS user: a producer of `tenant`, or one of Slipstream's own. Without a hash a placeholder is printed."""

    name: str
    permissions: Permissions
    tenant: str | None = None
    password_hash: str | None = None

    @property
    def account(self) -> str:
        """The NATS account it belongs to."""
        return ACCOUNT if self.tenant is None else account_of(self.tenant)

    @property
    def variable(self) -> str:
        """The environment variable of nats-server that stands in for the password's hash."""
        return "NATS_HASH_" + re.sub(r"\W", "_", self.name).upper()


def as_conf(users: Iterable[User]) -> str:
    """Entries of `accounts` in the configuration of nats-server.

    The placeholder is a variable: without a value the server does not start, where a word in quotes would be the
    password.
    """
    return "".join(f"{line}\n" for line in _conf(users))


def _conf(users: Iterable[User]) -> Iterator[str]:
    yield "# For the block `accounts` of nats-server's configuration."
    for account, members in _accounts(users).items():
        if (tenant := members[0].tenant) is not None:
            yield f"# Clients of this account connect with the inbox prefix {inbox_prefix(tenant)}"
        yield f'"{account}": {{'
        for key, value in _traits(tenant).items():
            yield f"  {key}: {json.dumps(value)}"
        yield "  users: ["
        for user in members:
            yield "    {"
            yield f'      user: "{user.name}"'
            if user.password_hash is None:
                yield "      # FILL IN: a bcrypt hash in quotes; or in this variable of nats-server, in quotes, too."
                yield f"      password: ${user.variable}"
            else:
                yield f'      password: "{user.password_hash}"'
            yield "      permissions: {"
            for verb, rule in _rules(user.permissions).items():
                yield f"        {verb}: {{"
                for way, subjects in rule.items():
                    yield f"          {way}: ["
                    yield from (f'            "{subject}"' for subject in subjects)
                    yield "          ]"
                yield "        }"
            yield "      }"
            yield "    }"
        yield "  ]"
        yield "}"


def as_json(users: Iterable[User]) -> str:
    """The same as `{"accounts": {...}}`, which nats-server reads, too.

    A user without a hash has `password_variable` in the place of `password`, which nats-server refuses.
    """
    accounts = {
        account: {**_traits(members[0].tenant), "users": [_entry(user) for user in members]}
        for account, members in _accounts(users).items()
    }
    return json.dumps({"accounts": accounts}, indent=2) + "\n"


def _entry(user: User) -> dict[str, Any]:
    secret = {"password_variable": user.variable} if user.password_hash is None else {"password": user.password_hash}
    return {"user": user.name, **secret, "permissions": _rules(user.permissions)}


def as_nsc(users: Iterable[User]) -> str:
    """Commands of nsc, for a NATS with an operator: users have keys there, in credentials files."""
    return "".join(f"{line}\n" for line in _nsc(users))


def _nsc(users: Iterable[User]) -> Iterator[str]:
    for account, members in _accounts(users).items():
        yield f"nsc add account --name {account}"
        if (tenant := members[0].tenant) is None:
            yield f"nsc edit account --name {account} {_UNLIMITED}"
            yield f"nsc add export --account {account} --service --name events --subject {shlex.quote(EXPORTED)}"
        else:
            yield f"# Clients of this account connect with the inbox prefix {inbox_prefix(tenant)}"
            source = f'"$(nsc describe account --name {ACCOUNT} --field sub | tr -d \'"\')"'
            yield (
                f"nsc add import --account {account} --service --name events --src-account {source}"
                f" --remote-subject {shlex.quote(imported(tenant))}"
            )
        for user in members:
            publish, subscribe, deny = (shlex.quote(",".join(subjects)) for subjects in user.permissions)
            denied = f" --deny-pub {deny}" if user.permissions.deny_publish else ""
            member = f"--account {account} --name {user.name}"
            yield f"nsc add user {member} --allow-pub {publish} --allow-sub {subscribe}{denied}"
            yield f"nsc generate creds {member} --output-file {user.name}.creds"
    yield "nsc push --all"


def _accounts(users: Iterable[User]) -> dict[str, list[User]]:
    found: dict[str, list[User]] = {}
    for user in users:
        found.setdefault(user.account, []).append(user)
    return found


def _traits(tenant: str | None) -> dict[str, Any]:
    """What an account has beside its users."""
    if tenant is None:
        return {"jetstream": "enabled", "exports": [{"service": EXPORTED}]}
    return {"imports": [{"service": {"account": ACCOUNT, "subject": imported(tenant)}}]}


def _rules(permissions: Permissions) -> dict[str, dict[str, tuple[str, ...]]]:
    publish = {"allow": permissions.publish}
    if permissions.deny_publish:
        publish["deny"] = permissions.deny_publish
    return {"publish": publish, "subscribe": {"allow": permissions.subscribe}}
