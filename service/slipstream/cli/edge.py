"""`slipstream edge`: serve event streams until told to stop."""

from slipstream.cli.session import load_settings
from slipstream.cli.status import fail


def edge() -> None:
    """Serve event streams until SIGTERM or SIGINT.

    An edge is configured by SLIPSTREAM_* alone; check-config tells how. At its end it drains: every stream is sent
    away at its own moment of SLIPSTREAM_DRAIN.
    """
    settings = load_settings()
    from slipstream.app import run_edge  # noqa: PLC0415 - heavy
    from slipstream.protocol.errors import SlipstreamError  # noqa: PLC0415 - heavy

    try:
        run_edge(settings)
    except SlipstreamError as error:
        fail(error.message)
    except OSError as error:
        fail(error.strerror or str(error))
