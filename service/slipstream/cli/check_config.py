"""`slipstream check-config`: what an edge would run with, or everything that is wrong with it."""

from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.session import load_settings

if TYPE_CHECKING:
    from slipstream.settings import Settings


def check_config(
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all settings (Markdown) instead.")
    ] = False,
) -> None:
    """Check the SLIPSTREAM_* variables, all at once.

    Prints what an edge would run with (secrets hidden) and `ok`, or every fault.
    """
    from slipstream.settings import reference as settings_reference  # noqa: PLC0415 - heavy

    if reference:
        typer.echo(settings_reference(), nl=False)
        return
    for line in effective(load_settings()):
        typer.echo(line)
    typer.echo("ok")


def effective(settings: "Settings") -> list[str]:
    """One line a setting: variable, value as the environment would have it, `(default)` where it is that.

    Secrets are hidden; an unset value is empty.
    """
    from pydantic import SecretStr  # noqa: PLC0415 - heavy

    from slipstream.settings.faults import text_of, variable  # noqa: PLC0415 - heavy

    lines = []
    width = max(len(variable(field)) for field in type(settings).model_fields)
    for field, info in type(settings).model_fields.items():
        value = getattr(settings, field)
        text = "(secret)" if isinstance(value, SecretStr) else text_of(value)
        default = "(default)" if value == info.default else ""
        lines.append(f"{variable(field):<{width}}  {text:<24}  {default}".rstrip())
    return lines
