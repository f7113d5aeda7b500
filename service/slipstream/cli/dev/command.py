"""`slipstream dev`: its options."""

from pathlib import Path
from typing import Annotated

import typer


def dev(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of the one URL; 0 takes any free one, as is done where 8080 is taken."
        ),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where events, logs and configurations are kept.")] = Path(
        ".slipstream"
    ),
    rate: Annotated[
        float, typer.Option(min=0.0, max=500.0, help="Real events a second for each of the two tenants; 0 for none.")
    ] = 5.0,
) -> None:
    """Start a whole cluster here, with real events to look at.

    NATS with JetStream, two edges behind one URL, two tenants (flights, quakes). Kill an edge to see the streams go
    on. Ctrl-C ends everything; the events stay and go on the next time. There is NO authentication: loopback only.
    """
    from slipstream.cli.dev.run import run_dev  # noqa: PLC0415 - heavy

    raise typer.Exit(run_dev(port, data, rate))
