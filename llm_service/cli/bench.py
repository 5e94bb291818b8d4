"""`llm-service bench`: how fast a server is, for those who use it.

Tables go to stdout, progress and words to stderr. Exit codes: 0 done, 1 the measuring could not
go on, 2 misused.
"""

import random
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:  # loaded when a command runs: see `llm-service check`
    from collections.abc import Iterator

    from llm_service.bench.load import Cell, Target
    from llm_service.bench.sweep import CellResult

bench_app = typer.Typer(
    help="Measure how fast a server answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DEFAULT_URL = "http://127.0.0.1:8000"

Key = Annotated[str, typer.Option(envvar="LLM_KEY", help="A key with scope inference.")]
Model = Annotated[str | None, typer.Option(help="Default: the first that the server lists.")]
Concurrency = Annotated[str, typer.Option(help="How many streams at once, like 1,4,16.")]
PromptTokens = Annotated[str, typer.Option(help="Lengths of prompts, like 128,1024.")]
OutputTokens = Annotated[str, typer.Option(help="Lengths of answers, like 128.")]
Requests = Annotated[
    int | None, typer.Option(min=1, help="Per repetition; default: 2 for each stream, 4 or more.")
]
Repetitions = Annotated[int, typer.Option(min=1, help="Of each cell; medians are shown.")]
SharedPrefix = Annotated[
    int, typer.Option(min=0, help="Prompt tokens that all have in common; default: none.")
]
Chat = Annotated[bool, typer.Option("--chat", help="Ask /v1/chat/completions.")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="0: always the likeliest token.")]
Seed = Annotated[int | None, typer.Option(help="Of the prompts; default: new ones each time.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Draw it: a .svg or .png file.")]


@bench_app.command()
def http(
    url: Annotated[str, typer.Argument(help="Any OpenAI-compatible server.")] = DEFAULT_URL,
    key: Key = "",
    model: Model = None,
    concurrency: Concurrency = "1,4,16",
    prompt_tokens: PromptTokens = "128",
    output_tokens: OutputTokens = "128",
    requests: Requests = None,
    repetitions: Repetitions = 3,
    shared_prefix: SharedPrefix = 0,
    chat: Chat = False,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Time to first token, gaps between tokens and throughput, for each number of streams."""
    cells = _cells(concurrency, prompt_tokens, output_tokens, requests, shared_prefix)
    _measure([(url, key, model)], cells, repetitions, chat, temperature, seed, json_file, plot_file)


@bench_app.command()
def compare(
    url_a: Annotated[str, typer.Argument(help="The one to compare with.")],
    url_b: Annotated[str, typer.Argument(help="The other one.")],
    key: Key = "",
    key_b: Annotated[str, typer.Option(envvar="LLM_KEY_B", help="Default: the same key.")] = "",
    model: Model = None,
    model_b: Model = None,
    concurrency: Concurrency = "1,4,16",
    prompt_tokens: PromptTokens = "128",
    output_tokens: OutputTokens = "128",
    requests: Requests = None,
    repetitions: Repetitions = 3,
    shared_prefix: SharedPrefix = 0,
    chat: Chat = False,
    temperature: Temperature = 0.0,
    seed: Seed = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Two servers in turns, A B A B, and the ratio B / A of each figure with its spread."""
    cells = _cells(concurrency, prompt_tokens, output_tokens, requests, shared_prefix)
    servers = [(url_a, key, model), (url_b, key_b or key, model_b)]
    _measure(servers, cells, repetitions, chat, temperature, seed, json_file, plot_file)


@bench_app.command()
def quality(
    model: Annotated[str, typer.Argument(help="Bundled, a folder or a hub id.")] = "pocket",
    schemes: Annotated[str, typer.Option(help="Compared with float32.")] = "8bit,4bit",
    text: Annotated[
        Path | None, typer.Option(help="A file to read; default: the model's own answers.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="To predict, at most.")] = 2048,
    json_file: JsonFile = None,
) -> None:
    """What rounding the weights costs: perplexity, KL divergence and agreement with float32."""
    names = schemes.split(",")
    if unknown := set(names) - {"none", "8bit", "4bit"}:
        _fail(f"--schemes takes none, 8bit and 4bit, not {', '.join(sorted(unknown))}.", 2)
    from llm_service.bench import quality as measuring
    from llm_service.engine.model_files import ModelLoadError

    with _in_words():
        _check_folder(json_file)
        try:
            words = None if text is None else text.read_text(encoding="utf-8")
            found = measuring.measure(
                model, names, words, tokens, lambda line: print(line, file=sys.stderr)
            )
        except (OSError, UnicodeDecodeError, ModelLoadError) as error:
            _fail(str(error), 1)
    print(measuring.table(found))
    if json_file is not None:
        measuring.write_json(model, found, json_file)


def _measure(
    servers: list[tuple[str, str, str | None]],
    cells: "list[Cell]",
    repetitions: int,
    is_chat: bool,
    temperature: float,
    seed: int | None,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Find the servers, sweep, and show: the one path that both commands take."""
    import uvloop

    from llm_service.bench import report
    from llm_service.bench.client import Endpoint
    from llm_service.bench.load import find_target
    from llm_service.bench.prompts import Prompts
    from llm_service.bench.sweep import sweep

    prompts = Prompts(random.randrange(2**32) if seed is None else seed)  # noqa: S311

    async def run() -> "tuple[list[Target], list[list[CellResult]]]":
        endpoints = [(Endpoint.parse(url, key), model) for url, key, model in servers]
        targets = [
            await find_target(endpoint, model, is_chat=is_chat, temperature=temperature)
            for endpoint, model in endpoints
        ]
        num_answers = len(targets) * repetitions * sum(cell.num_requests for cell in cells)
        with _progress(num_answers) as done:
            return targets, await sweep(targets, cells, repetitions, prompts, done)

    with _in_words():
        for path in (json_file, plot_file):
            _check_folder(path)
        if plot_file is not None:
            report.check_plot(plot_file)
        targets, results = uvloop.run(run())
    is_one = len(targets) == 1
    print(report.table(results[0]) if is_one else report.comparison(*results))
    if json_file is not None:
        report.write_json(report.as_json(targets, results, prompts.seed), json_file)
    if plot_file is not None:
        names = [""] if is_one else ["A", "B"]
        report.plot(dict(zip(names, results, strict=True)), plot_file)


def _cells(
    concurrency: str,
    prompt_tokens: str,
    output_tokens: str,
    num_requests: int | None,
    shared_prefix: int,
) -> "list[Cell]":
    """Every combination, shortest first. Ends the command, in words, where a list is none."""
    from llm_service.bench.load import Cell

    cells = [
        Cell(streams, prompt, output, num_requests or max(4, 2 * streams), shared_prefix)
        for prompt in _numbers("--prompt-tokens", prompt_tokens)
        for output in _numbers("--output-tokens", output_tokens)
        for streams in _numbers("--concurrency", concurrency)
    ]
    if shared_prefix >= min(cell.prompt_tokens for cell in cells):
        _fail(f"--shared-prefix {shared_prefix} must be less than --prompt-tokens.", 2)
    return cells


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**7 for part in parts):
        _fail(f"{option} takes numbers from 1 up, like 1,4,16, not {text!r}.", 2)
    return [int(part) for part in parts]


def _check_folder(path: Path | None) -> None:
    from llm_service.bench import BenchError

    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise BenchError(f"Cannot write {path}: no such folder, or it is one itself.")


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[], object]]":
    from tqdm import tqdm

    with tqdm(total=total, unit="answer", file=sys.stderr, leave=False) as bar:
        yield lambda: bar.update()


@contextmanager
def _in_words() -> "Iterator[None]":
    """What a user can cause ends in one line and exit code 1."""
    from llm_service.bench import BenchError

    try:
        yield
    except BenchError as error:
        _fail(str(error), 1)


def _fail(words: str, code: int) -> NoReturn:
    print(f"error: {words}", file=sys.stderr)
    raise typer.Exit(code)
