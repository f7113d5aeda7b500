"""Requests to the JetStream API, raw: JSON in, JSON out, every one with a deadline (NATS ADR-1, ADR-31)."""

from __future__ import annotations

from typing import Any, Final

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.link import Link
from slipstream.jetstream.violation import Forbidden
from slipstream.protocol.errors import Code, SlipstreamError

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
NO_MESSAGE = 10037

_ABSENT: Final = frozenset({10039, 10076})
"""The server's numbers for: no JetStream in this account, none at all."""

UNAVAILABLE: Final = 503
"""The code of a refusal that may pass."""

_SOON: Final = 2.0


class ApiError(Exception):
    """JetStream refused a request: `code` is the HTTP-like status, `err_code` the server's own number."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class NoJetStream(ApiError):
    """Nobody answers JetStream's requests. lasting: time alone does not mend it."""

    def __init__(self, err_code: int = 0, *, lasting: bool) -> None:
        super().__init__(UNAVAILABLE, err_code, "JetStream is not there")
        self.lasting = lasting

    def told(self) -> SlipstreamError:
        """The same as an error of the catalogue; `retry_after` only where it may pass."""
        if self.err_code in _ABSENT:
            text = (
                "this account of NATS has no JetStream: write `jetstream: enabled` into the account that the user"
                " enters, in the configuration of nats-server, or use a user of an account that has it"
            )
        else:
            text = (
                f"this NATS has no JetStream{'' if self.lasting else ', or it is not ready yet'}: start it with"
                " `nats-server -js`, or with a block `jetstream` in its configuration (with accounts, in the account"
                " that the user enters, too)"
            )
        return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, text, retry_after=None if self.lasting else _SOON)


def away(error: BaseException) -> SlipstreamError:
    """The error that says: NATS did not answer, try again soon; without `retry_after`, what must be mended first."""
    if isinstance(error, Forbidden):
        return SlipstreamError(
            Code.UPSTREAM_UNAVAILABLE,
            f"NATS refuses this user: {error}; use a user with these rights (`slipstream tenant nats-permissions`"
            " prints them)",
        )
    reason = f"NATS did not answer: {str(error) or type(error).__name__}"
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, reason, retry_after=_SOON)


class Api:
    """The JetStream API behind a link.

    Raises `ApiError` for a refusal (`NoJetStream` where nobody is there to ask), UPSTREAM_UNAVAILABLE for silence and
    for what this user may not ask.
    """

    def __init__(self, link: Link, timeout: float = 3.0) -> None:
        self.link = link
        self.timeout = timeout

    async def call(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send `body` to `$JS.API.<subject>` and answer the JSON that comes back."""
        raw = await self.request(f"$JS.API.{subject}", b"" if body is None else orjson.dumps(body))
        answer: dict[str, Any] = orjson.loads(raw)
        error = answer.get("error")
        if error is not None and error.get("err_code") in _ABSENT:
            raise NoJetStream(error["err_code"], lasting=True)
        if error is not None:
            raise ApiError(error.get("code", 500), error.get("err_code", 0), error.get("description", "unknown"))
        return answer

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, *, more: float = 0.0
    ) -> bytes:
        """One request and the payload of its answer. more: seconds that whoever answers may need besides."""
        try:
            message = await self.link.client.request(subject, payload, timeout=self.timeout + more, headers=headers)
        except nats_errors.NoRespondersError as error:
            if subject.startswith("$JS.API."):
                raise self._no_jetstream() from error
            # JetStream is off, electing, or the subject belongs to no stream.
            raise ApiError(UNAVAILABLE, 0, "nobody answers this subject") from error
        except Forbidden as error:
            # It was heard, and answered.
            raise away(error) from error
        except (TimeoutError, OSError, nats_errors.Error) as error:
            self.link.suspect(subject)
            raise away(error) from error
        return bytes(message.data)

    def _no_jetstream(self) -> NoJetStream:
        return NoJetStream(lasting=self.link.client.without_jetstream)
