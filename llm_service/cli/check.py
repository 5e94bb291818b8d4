"""`llm-service check [URL]`: tests a deployment.

Prints one line per check. Exit code 1 if a check failed.
"""

from typing import Annotated

import typer


def check(
    url: Annotated[str, typer.Argument(help="Address of the service.")] = "http://127.0.0.1:8000",
    key: Annotated[
        str, typer.Option(envvar="LLM_KEY", help="A key with scope inference.", show_envvar=True)
    ] = "",
) -> None:
    """Check a running service: health, keys, chat, stream, usage, limits, metrics."""
    if not key:
        typer.echo("check needs a key: set LLM_KEY, or use --key.", err=True)
        raise typer.Exit(2)
    from llm_service.cli.checks import run_checks  # loads the client: see there

    raise typer.Exit(0 if run_checks(url, key) else 1)
