"""A command's work with NATS: settings, a connection within a deadline, every failure as one line and a status."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from slipstream.cli.status import Status, fail

if TYPE_CHECKING:
    from slipstream.jetstream.api import Api
    from slipstream.settings import Settings

CONNECT_SECONDS: Final = 5.0

T = TypeVar("T")


class _Reason(logging.Handler):
    """Keeps why the connection is not there yet, for the one line that is printed when it never comes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        from slipstream.jetstream.link import WAITING  # noqa: PLC0415 - heavy

        # It is told by who gave up.
        self.text = record.getMessage().removesuffix(WAITING)


def load_settings() -> "Settings":
    """The settings of the environment. Ends the command with all faults and status 2 when it cannot be used."""
    from slipstream.settings import Settings, SettingsError  # noqa: PLC0415 - heavy

    try:
        return Settings.load()
    except SettingsError as error:
        fail(str(error), Status.WRONG)


def with_nats(work: Callable[["Settings", "Api"], Awaitable[T]]) -> T:
    """What `work` answers, run with the settings and a NATS connection.

    A refusal (SlipstreamError) or a broken document (TenantError) ends the command with status 1, or 2 where the input
    is at fault.
    """
    from slipstream.protocol.errors import Code, SlipstreamError  # noqa: PLC0415 - heavy
    from slipstream.tenants import TenantError  # noqa: PLC0415 - heavy

    settings = load_settings()
    try:
        return asyncio.run(_session(settings, work))
    except SlipstreamError as error:
        fail(error.message, Status.WRONG if error.code is Code.BAD_REQUEST else Status.FAILED)
    except TenantError as error:
        fail(f"the stored document is broken, apply it again: {'; '.join(error.faults)}")


async def _session(settings: "Settings", work: Callable[["Settings", "Api"], Awaitable[T]]) -> T:
    from slipstream.app import connect  # noqa: PLC0415 - heavy

    reason = _Reason()
    logger = logging.getLogger("slipstream")
    logger.addHandler(reason)
    logger.propagate = False
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                api = await stack.enter_async_context(connect(settings))
        except TimeoutError:
            fail(f"gave up after {CONNECT_SECONDS:g} s: {reason.text or f'NATS is silent at {settings.nats_url}'}")
        return await work(settings, api)
