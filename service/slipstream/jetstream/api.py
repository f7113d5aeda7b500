"""Requests to the JetStream API, raw: JSON in, JSON out, every one with a deadline (NATS ADR-1, ADR-31)."""

from __future__ import annotations

from typing import Any

import orjson
from nats import errors as nats_errors

from slipstream.jetstream.link import Link
from slipstream.protocol.errors import Code, SlipstreamError

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
NO_MESSAGE = 10037


class ApiError(Exception):
    """JetStream refused a request: `code` is the HTTP-like status, `err_code` the server's own number."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


def away(error: BaseException) -> SlipstreamError:
    """The error that says: NATS did not answer, try again soon."""
    reason = str(error) or type(error).__name__
    return SlipstreamError(Code.UPSTREAM_UNAVAILABLE, f"NATS did not answer: {reason}", retry_after=2.0)


class Api:
    """The JetStream API behind a link. Raises `ApiError` for a refusal, UPSTREAM_UNAVAILABLE for silence."""

    def __init__(self, link: Link, timeout: float = 3.0) -> None:
        self.link = link
        self.timeout = timeout

    async def call(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send `body` to `$JS.API.<subject>` and answer the JSON that comes back."""
        raw = await self.request(f"$JS.API.{subject}", b"" if body is None else orjson.dumps(body))
        answer: dict[str, Any] = orjson.loads(raw)
        error = answer.get("error")
        if error is not None:
            raise ApiError(error.get("code", 500), error.get("err_code", 0), error.get("description", "unknown"))
        return answer

    async def request(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> bytes:
        """One request and the payload of its answer."""
        try:
            message = await self.link.client.request(subject, payload, timeout=self.timeout, headers=headers)
        except nats_errors.NoRespondersError as error:
            # JetStream is off, electing, or the subject belongs to no stream.
            raise ApiError(503, 0, "nobody answers this subject") from error
        except (TimeoutError, OSError, nats_errors.Error) as error:
            self.link.suspect(subject)
            raise away(error) from error
        return bytes(message.data)
