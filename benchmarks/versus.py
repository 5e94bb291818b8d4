"""Compares this service with peers on the same weights, in turns: A B A B A B.

    python -m benchmarks.versus --checkpoint qwen2.5-0.5b --ours 8bit --theirs llama_cpp:q8_0

Each turn starts a server, waits for its first answer, measures over HTTP and stops it, so that only
one contender runs at a time. Before each turn it waits until the machine is quiet. With --now it
does not wait; the record says so, and the paper excludes it.
"""

import argparse
import os
import re
import signal
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks import checkpoints
from benchmarks.measures import MEASURES, Take
from benchmarks.peers import Peer, PeerError, Server, find
from benchmarks.peers.transformers_generate import TransformersGenerate
from benchmarks.vocabulary import words
from llm_service.bench import BenchError
from llm_service.bench.client import Endpoint
from llm_service.bench.facts import describe_machine, read_bandwidths
from llm_service.bench.load import Cell, Figures, find_target
from llm_service.bench.prompts import Prompts
from llm_service.bench.report import write_json
from llm_service.bench.sweep import repeat

RESULTS = Path(__file__).parent / "results"
SCHEMA = 1
QUIET_SHARE = 0.05  # share of the machine's CPU time that other programs use
LOOK_SECONDS = 5
QUIET_SECONDS = 30 * 60
WARM_UP = Cell(2, 64, 16, 4)
NUM_WORDS = 500


def main() -> int:
    options = _options()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # servers must not outlive this program
    try:
        contenders = [find(f"llm_service:{options.ours}"), *map(find, options.theirs)]
        checkpoint = checkpoints.make(options.checkpoint)
        turns = []
        for repetition in range(options.repetitions):
            for number, (peer, scheme) in enumerate(contenders):
                busy = busy_share() if options.now else wait_until_quiet()
                print(f"turn {repetition + 1}: {peer.name} {scheme}", file=sys.stderr)
                figures = take_turn(peer, scheme, checkpoint, options.threads, options.measure)
                turns.append({"contender": number, "busy_share": busy, "figures": figures})
    except KeyboardInterrupt:
        print("versus: interrupted, nothing is written", file=sys.stderr)
        return 130
    except (PeerError, BenchError) as error:
        print(f"versus: {error}", file=sys.stderr)
        return 1
    record = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "threads": options.threads,
        "checkpoint": options.checkpoint,
        "is_quiet": not options.now,
        "contenders": [
            {"name": peer.name, "version": peer.version, "scheme": scheme}
            for peer, scheme in contenders
        ],
        "turns": turns,
    }
    print(table(record))
    path = options.out or RESULTS / f"{file_name(record)}.json"
    path.parent.mkdir(exist_ok=True)
    write_json(record, path)
    print(f"written to {path}", file=sys.stderr)
    return 0


def take_turn(
    peer: Peer, scheme: str, checkpoint: Path, threads: int, measures: list[str]
) -> dict[str, Figures]:
    """Start the peer, measure, stop it. Each result's `value` is what is compared."""
    bandwidths = {"read_bandwidths": read_bandwidths()}
    if isinstance(peer, TransformersGenerate):
        return peer.measure(checkpoint, scheme, threads, measures) | {"machine": bandwidths}
    with Server(peer, checkpoint, scheme, threads) as server:
        figures = uvloop.run(_measure(server, checkpoint, measures))
    seen = {"ready": server.ready_seconds, "memory": server.memory.peak_bytes / 1e9}
    figures |= {name: {"value": value} for name, value in seen.items() if name in measures}
    return figures | {"machine": bandwidths}


async def _measure(server: Server, checkpoint: Path, measures: list[str]) -> dict[str, Figures]:
    target = await find_target(Endpoint.parse(server.url, server.key), server.model)
    vocabulary = words(NUM_WORDS, checkpoints.CONFIGS[checkpoint.name].vocab_size)
    prompts = Prompts(seed=1, words=vocabulary)  # a word is a token, so lengths are exact
    await repeat(target, WARM_UP, (WARM_UP.prompt_tokens, 0), prompts, lambda: None)
    taken: dict[Take, Figures] = {}  # several measures can use the same figures
    results = {}
    for name in measures:
        measure = MEASURES[name]
        if measure.take is None or measure.figure is None:
            continue
        try:
            if measure.take not in taken:
                taken[measure.take] = await measure.take(target, prompts)
            figures = taken[measure.take]
            results[name] = {"value": measure.figure(figures), **figures}
        except BenchError as error:  # the other measures can still be compared
            print(f"versus: {name}: {error}", file=sys.stderr)
            results[name] = {"failed": str(error)}
    return results


def busy_share() -> float:
    """The share of all cores' time that other programs use now."""
    return float(psutil.cpu_percent(LOOK_SECONDS)) / 100


def wait_until_quiet() -> float:
    """Wait until `busy_share` is below QUIET_SHARE. Raises BenchError after a time limit."""
    until = time.monotonic() + QUIET_SECONDS
    while (busy := busy_share()) >= QUIET_SHARE:
        if time.monotonic() > until:
            raise BenchError(f"the machine does not get quiet ({busy:.0%} busy); --now measures")
        print(f"waiting: {busy:.0%} busy, wanted below {QUIET_SHARE:.0%}", file=sys.stderr)
    return busy


def values(record: dict[str, Any], measure: str) -> list[list[float]]:
    """Return, for each contender, the values of the measure in its turns."""
    lists: list[list[float]] = [[] for _ in record["contenders"]]
    for turn in record["turns"]:
        if "value" in turn["figures"].get(measure, {}):
            lists[turn["contender"]].append(turn["figures"][measure]["value"])
    return lists


def table(record: dict[str, Any]) -> str:
    """Return a Markdown table: measures by contenders; median, spread, ours / theirs."""
    names = [label(contender) for contender in record["contenders"]]
    ratios = [f"ours / {name}" for name in names[1:]]
    lines = [
        f"| {' | '.join(['', *names, *ratios])} |",
        f"|{'|'.join(['---'] * (1 + len(names) + len(ratios)))}|",
    ]
    for name, measure in MEASURES.items():
        ours, *theirs = values(record, name)
        if not any((ours, *theirs)):
            continue
        cells = [_cell(each) for each in (ours, *theirs)]
        cells += [_ratio(ours, each) for each in theirs]
        lines.append(f"| {measure.label}, {measure.unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def label(contender: dict[str, str]) -> str:
    return f"{contender['name']} {contender['scheme']}"


def file_name(record: dict[str, Any]) -> str:
    """Return the stem of the record's files, in characters that need no quoting."""
    parts = [f"{each['name']}-{each['scheme']}" for each in record["contenders"]]
    return re.sub(r"[^\w.-]+", "-", "--".join([record["checkpoint"], *parts]))


def _cell(each: list[float]) -> str:
    if not each:
        return "-"
    return f"{_digits(statistics.median(each))} ({_digits(min(each))}-{_digits(max(each))})"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the ratios within each repetition, in which the machine was about equally fast."""
    if len(ours) != len(theirs):
        return "-"  # one of them failed, so there are no pairs to compare
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return (
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-"
    )


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", choices=checkpoints.CONFIGS, default="qwen2.5-0.5b")
    parser.add_argument("--ours", default="auto", metavar="SCHEME")
    parser.add_argument("--theirs", nargs="+", required=True, metavar="PEER:SCHEME")
    parser.add_argument("--measure", type=_measures, default=list(MEASURES), metavar="A,B")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--now", action="store_true", help="do not wait for a quiet machine")
    parser.add_argument("--out", type=Path, help="default: a file in benchmarks/results")
    return parser.parse_args()


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(MEASURES):
        raise argparse.ArgumentTypeError(
            f"no measure is called {', '.join(sorted(unknown))}: there are {', '.join(MEASURES)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
