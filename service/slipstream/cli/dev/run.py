"""From the first step to the last: start, watch, end, and tell all of it."""

import asyncio
import logging
import signal
import time
from pathlib import Path

from slipstream.cli.dev.cluster import Cluster
from slipstream.cli.dev.dashboard import Dashboard
from slipstream.cli.dev.faults import DevError
from slipstream.cli.dev.folder import Folder
from slipstream.cli.dev.screen import Screen
from slipstream.cli.dev.welcome import shown, welcome
from slipstream.cli.status import Status
from slipstream.protocol.errors import SlipstreamError
from slipstream.settings import SettingsError

_logger = logging.getLogger(__name__)
_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_dev(port: int | None, data: Path, rate: float) -> Status:
    """Run a cluster until a signal; the command's exit status. See `Cluster` for the arguments."""
    screen = Screen()
    folder = Folder(data)
    try:
        folder.open()
        logging.basicConfig(filename=folder.logs / "dev.log", filemode="w", level=logging.INFO, format=_LOG_FORMAT)
        asyncio.run(_run(Cluster(folder, port, rate, screen), screen))
    except Exception as error:  # noqa: BLE001 - told below, each kind in its way
        return _tell(error, folder, screen)
    finally:
        folder.close()
    return Status.DONE


def _tell(error: Exception, folder: Folder, screen: Screen) -> Status:
    """Say why it ended; the exit status. Tasks of a group fail together, so there may be several reasons."""
    reasons = _leaves(error)
    for reason in reasons:
        match reason:
            case SettingsError():
                screen.bad(str(reason))
                return Status.WRONG
            case DevError() | SlipstreamError():
                screen.bad(str(reason), getattr(reason, "lines", ()))
            case _:
                # A fault of our own: whoever runs a demonstration gets a sentence, whoever mends it the whole of it.
                _logger.error("the cluster failed", exc_info=error)
                screen.bad(f"unexpected: {reason!r}; the details are in {shown(folder.logs / 'dev.log')}")
    return Status.FAILED


async def _run(cluster: Cluster, screen: Screen) -> None:
    loop = asyncio.get_running_loop()
    stop, up = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            cluster.kill()
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    running = asyncio.create_task(cluster.run(up), name="dev-cluster")
    dashboard = Dashboard(cluster)
    tasks = {
        running,
        asyncio.create_task(stop.wait(), name="dev-signal"),
        asyncio.create_task(_show(cluster, screen, dashboard, up), name="dev-show"),
    }
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        began = time.monotonic()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        with screen.step("Stopping") as step:
            await cluster.stop()
            step.result = f"All stopped in {time.monotonic() - began:.1f} s; the events stay in {cluster.folder.path}"
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _show(cluster: Cluster, screen: Screen, dashboard: Dashboard, up: asyncio.Event) -> None:
    await up.wait()
    welcome(screen, cluster)
    with screen.living(dashboard.render):
        await dashboard.run()


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]
