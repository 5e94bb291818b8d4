"""Options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all results to this file.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuringOptions:
    """Options of every command that measures speed."""

    repetitions: Annotated[
        int,
        typer.Option(
            "--repetitions", "--repeat", min=1, help="Repetitions per row. The table shows medians."
        ),
    ] = 3
    temperature: Annotated[
        float,
        typer.Option(
            min=0, max=2, help="Sampling temperature. 0 always selects the most likely token."
        ),
    ] = 0.0
    seed: Annotated[
        int | None, typer.Option(help="Seed for the prompts. Default: new prompts each time.")
    ] = None
    json_file: JsonFile = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOptions(MeasuringOptions):
    """Options of the commands that measure servers."""

    concurrency: Annotated[
        str, typer.Option(help="Numbers of concurrent streams, like 1,4,16.")
    ] = "1,4,16"
    prompt_tokens: Annotated[str, typer.Option(help="Lengths of prompts, like 128,1024.")] = "128"
    output_tokens: Annotated[str, typer.Option(help="Lengths of answers, like 128.")] = "128"
    requests: Annotated[
        int | None,
        typer.Option(min=1, help="Requests per repetition. Default: 2 per stream, at least 4."),
    ] = None
    shared_prefix: Annotated[
        int, typer.Option(min=0, help="Prompt tokens that all requests share. Default: none.")
    ] = 0
    chat: Annotated[bool, typer.Option("--chat", help="Measure /v1/chat/completions.")] = False
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Plot the results to this .svg or .png file.")
    ] = None


def takes(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option per field of its parameter `options`, which is a `group`.

    Typer reads a function's signature; the changed one has the fields in place of `options`.
    """
    hints = get_type_hints(group, include_extras=True)
    shown = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**given: Any) -> None:
            options = group(**{field.name: given.pop(field.name) for field in fields(group)})
            command(**given, options=options)

        signature = inspect.signature(command)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.name != "options"
        ]
        called.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        return called

    return decorate
