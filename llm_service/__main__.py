"""The command line: `llm-service COMMAND`."""

import typer

from llm_service.cli.bench import bench_app
from llm_service.cli.check import check
from llm_service.cli.doctor import doctor
from llm_service.cli.keys import keys_app
from llm_service.cli.quantize import quantize
from llm_service.cli.serve import serve

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.command()(serve)
app.command()(check)
app.command()(doctor)
app.command()(quantize)
app.add_typer(keys_app, name="keys")
app.add_typer(bench_app, name="bench")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
