"""The command line: `llm-service COMMAND`."""

import typer

from llm_service.cli.check import check
from llm_service.cli.keys import keys_app
from llm_service.cli.serve import serve

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.command()(serve)
app.command()(check)
app.add_typer(keys_app, name="keys")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
