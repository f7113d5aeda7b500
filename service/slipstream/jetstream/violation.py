"""What the server does not let a user do. It says so to the connection, never in answer to whoever asked. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from nats import errors

_TEXT: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)


class Violation(NamedTuple):
    """subject: in lower case, as nats-py hands on what the server says."""

    verb: str
    subject: str

    @classmethod
    def read(cls, text: str) -> Violation | None:
        """Of an error of the server's; None for any other."""
        found = _TEXT.search(text)
        return None if found is None else cls(found[1].lower(), found[2].lower())

    def concerns(self, subject: str, inboxes: str) -> bool:
        """Whether a question to `subject` has no answer for it. inboxes: where answers come, a subject's beginning."""
        if self.verb == "publish":
            return self.subject == subject.lower()
        return self.subject.startswith(f"{inboxes.lower()}.")

    def error(self, subject: str, inboxes: str) -> Forbidden:
        """For who asked `subject`, and with the names as they are written."""
        return Forbidden(self.verb, subject if self.verb == "publish" else f"{inboxes}.>")


class Forbidden(errors.Error):
    """The server does not let this user ask, or does not let it hear the answers."""

    def __init__(self, verb: str, subject: str) -> None:
        super().__init__(f'permissions violation for {verb} to "{subject}"')
