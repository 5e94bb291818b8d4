"""`llm-service bench`: measures servers over HTTP, the engine's steps, and the cost of rounding.

Tables go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 the measurement could
not be completed, 2 wrong usage.
"""

import random
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

from llm_service.cli.options import JsonFile, MeasuringOptions, SweepOptions, takes
from llm_service.engine.config import Quantization, Speculation

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

# What `bench engine` measures by default, where it fits.
NUMS_DECODING = [1, 4, 16]
PROMPT_LENGTHS = [128, 512]
DEFAULT_URL = "http://127.0.0.1:8000"

Key = Annotated[str, typer.Option(envvar="LLM_KEY", help="A key with scope inference.")]
Model = Annotated[
    str | None, typer.Option(help="Model to measure. Default: the first that the server lists.")
]


@bench_app.command()
@takes(SweepOptions)
def http(
    url: Annotated[str, typer.Argument(help="Any OpenAI-compatible server.")] = DEFAULT_URL,
    key: Key = "",
    model: Model = None,
    *,
    options: SweepOptions,
) -> None:
    """Measure time to first token, gaps between tokens and throughput per number of streams."""
    _measure([(url, key, model)], options)


@bench_app.command()
@takes(SweepOptions)
def compare(
    url_a: Annotated[str, typer.Argument(help="The server to compare with.")],
    url_b: Annotated[str, typer.Argument(help="The server to compare.")],
    key: Key = "",
    key_b: Annotated[str, typer.Option(envvar="LLM_KEY_B", help="Default: the same key.")] = "",
    model: Model = None,
    model_b: Model = None,
    *,
    options: SweepOptions,
) -> None:
    """Measure two servers in turns (A B A B) and show the ratio B / A of each figure."""
    _measure([(url_a, key, model), (url_b, key_b or key, model_b)], options)


@bench_app.command()
@takes(MeasuringOptions)
def engine(
    model: Annotated[
        str | None,
        typer.Option(help="Replaces LLM_MODEL_ID: a bundled model, a folder or a hub id."),
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(help="Replaces LLM_QUANTIZATION: auto, none, 8bit or 4bit.")
    ] = None,
    sequences: Annotated[
        str | None,
        typer.Option(
            help="Numbers of sequences that decode at once. Default: those of 1,4,16 that fit."
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="Lengths of the prompts to prefill. Default: those of 128,512 that fit."),
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option(min=1, help="Length of the prompt of each sequence that decodes.")
    ] = 128,
    output_tokens: Annotated[
        int, typer.Option(min=2, help="Tokens that each sequence generates.")
    ] = 128,
    speculation: Annotated[
        str,
        typer.Option(
            envvar="LLM_SPECULATION", help="How tokens are drafted: none or prompt_lookup."
        ),
    ] = "none",
    top_p: Annotated[
        float, typer.Option(min=0, max=1, help="Nucleus sampling, where --temperature is above 0.")
    ] = 1.0,
    *,
    options: MeasuringOptions,
) -> None:
    """Measure the engine's steps in this process, without HTTP, and the time outside the model.

    The LLM_* settings of the engine apply, so you can switch parts off and measure the difference.
    """
    for name, value, known in (
        ("--quantization", quantization, get_args(Quantization)),
        ("--speculation", speculation, get_args(Speculation)),
    ):
        if value is not None and value not in known:
            _fail(f"{name} takes {', '.join(known)}, not {value}.", 2)
    if top_p == 0:
        _fail("--top-p takes a number above 0, up to 1.", 2)
    decoding = _numbers_or("--sequences", sequences, NUMS_DECODING)
    reading = _numbers_or("--prompts", prompts, PROMPT_LENGTHS)
    if not decoding and not reading:
        _fail("There is nothing to measure: give --sequences or --prompts.", 2)
    from llm_service.bench import engine as measuring
    from llm_service.bench import engine_report, report
    from llm_service.bench.prompts import Prompts
    from llm_service.config import Settings, words_of
    from llm_service.engine.loading.model_files import ModelLoadError

    try:
        config = Settings().engine_config()
    except ValueError as error:
        _fail(" ".join(words_of(error)), 2)
    config = replace(
        config,
        model_id=model or config.model_id,
        quantization=cast(Quantization, quantization or config.quantization),
        speculation=cast(Speculation, speculation),
    )
    supply = Prompts(_seed(options))
    asked_for = {"decode": sequences is not None, "prefill": prompts is not None}
    phases = measuring.phases(decoding, prompt_tokens, output_tokens, reading)
    with _in_words():
        _check_folder(options.json_file)
        try:
            bench = measuring.Bench.load(config, lambda line: print(line, file=sys.stderr))
        except ModelLoadError as error:
            _fail(str(error), 1)
        for phase in [phase for phase in phases if not asked_for[phase.kind]]:
            if reason := bench.why_not(phase):
                print(f"Left out: {reason}", file=sys.stderr)
                phases.remove(phase)
        if not phases:
            _fail("Nothing of the default fits: give --sequences or --prompts.", 1)
        with _progress(len(phases) * options.repetitions, "repetition") as done:
            results = bench.measure(
                phases,
                options.repetitions,
                supply,
                temperature=options.temperature,
                top_p=top_p,
                done=done,
            )
    print(engine_report.table(bench, results))
    if options.json_file is not None:
        asked = asdict(config) | {"temperature": options.temperature, "top_p": top_p}
        record = engine_report.as_json(bench, results, supply.seed, asked)
        report.write_json(record, options.json_file)


@bench_app.command()
def quality(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder or a hub id.")] = "pocket",
    schemes: Annotated[str, typer.Option(help="Schemes to compare with float32.")] = "8bit,4bit",
    text: Annotated[
        Path | None, typer.Option(help="A text file. Default: the model's own answers.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Maximum number of tokens to predict.")] = 2048,
    json_file: JsonFile = None,
) -> None:
    """Measure what rounding costs: perplexity, KL divergence and agreement with float32."""
    names = schemes.split(",")
    if unknown := set(names) - {"none", "8bit", "4bit"}:
        _fail(f"--schemes takes none, 8bit and 4bit, not {', '.join(sorted(unknown))}.", 2)
    from llm_service.bench import quality as measuring
    from llm_service.engine.loading.model_files import ModelLoadError

    with _in_words():
        _check_folder(json_file)
        try:
            words = None if text is None else text.read_text(encoding="utf-8")
            found = measuring.measure(
                model,
                cast(list[Quantization], names),
                words,
                tokens,
                lambda line: print(line, file=sys.stderr),
            )
        except (OSError, UnicodeDecodeError, ModelLoadError) as error:
            _fail(str(error), 1)
    print(measuring.table(found))
    if json_file is not None:
        measuring.write_json(model, found, json_file)


def _measure(servers: list[tuple[str, str, str | None]], options: SweepOptions) -> None:
    """Find the servers, measure all cells and show the results, for both HTTP commands."""
    cells = _cells(options)
    import uvloop

    from llm_service.bench import report
    from llm_service.bench.client import Endpoint
    from llm_service.bench.load import find_target
    from llm_service.bench.prompts import Prompts
    from llm_service.bench.sweep import sweep

    prompts = Prompts(_seed(options))

    async def run() -> "tuple[list[Target], list[list[CellResult]]]":
        endpoints = [(Endpoint.parse(url, key), model) for url, key, model in servers]
        targets = [
            await find_target(
                endpoint, model, is_chat=options.chat, temperature=options.temperature
            )
            for endpoint, model in endpoints
        ]
        num_answers = sum(cell.num_requests for cell in cells) * len(targets) * options.repetitions
        with _progress(num_answers, "answer") as done:
            return targets, await sweep(targets, cells, options.repetitions, prompts, done)

    with _in_words():
        for path in (options.json_file, options.plot_file):
            _check_folder(path)
        if options.plot_file is not None:
            report.check_plot(options.plot_file)
        targets, results = uvloop.run(run())
    is_one = len(targets) == 1
    print(report.table(results[0]) if is_one else report.comparison(*results))
    if options.json_file is not None:
        report.write_json(report.as_json(targets, results, prompts.seed), options.json_file)
    if options.plot_file is not None:
        names = [""] if is_one else ["A", "B"]
        report.plot(dict(zip(names, results, strict=True)), options.plot_file)


def _cells(options: SweepOptions) -> "list[Cell]":
    """Every combination, shortest first. Ends the command with a message if a list is malformed."""
    from llm_service.bench.load import Cell

    shared = options.shared_prefix
    cells = [
        Cell(streams, prompt, output, options.requests or max(4, 2 * streams), shared)
        for prompt in _numbers("--prompt-tokens", options.prompt_tokens)
        for output in _numbers("--output-tokens", options.output_tokens)
        for streams in _numbers("--concurrency", options.concurrency)
    ]
    if shared >= min(cell.prompt_tokens for cell in cells):
        _fail(f"--shared-prefix {shared} must be less than --prompt-tokens.", 2)
    return cells


def _seed(options: MeasuringOptions) -> int:
    return random.randrange(2**32) if options.seed is None else options.seed  # noqa: S311


def _numbers_or(option: str, text: str | None, default: list[int]) -> list[int]:
    """The numbers of an option: an empty list if it is empty, `default` if it is not given."""
    if text is None:
        return default
    return _numbers(option, text) if text else []


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**7 for part in parts):
        _fail(f"{option} takes numbers from 1 up, like 1,4,16, not {text!r}.", 2)
    return [int(part) for part in parts]


def _check_folder(path: Path | None) -> None:
    from llm_service.bench import BenchError

    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise BenchError(f"Cannot write {path}: no such folder, or it is a folder itself.")


@contextmanager
def _progress(total: int, unit: str) -> "Iterator[Callable[[], object]]":
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, file=sys.stderr, leave=False) as bar:
        yield lambda: bar.update()


@contextmanager
def _in_words() -> "Iterator[None]":
    """Turn an error that a user can cause into one line and exit code 1."""
    from llm_service.bench import BenchError

    try:
        yield
    except BenchError as error:
        _fail(str(error), 1)


def _fail(words: str, code: int) -> NoReturn:
    print(f"error: {words}", file=sys.stderr)
    raise typer.Exit(code)
