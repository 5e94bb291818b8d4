"""Measures plain `transformers.generate`, without HTTP, in a separate process.

Several streams form one batch of equal lengths, its best case, as the batch never changes.
Prints `ready`
once a token was generated, then a JSON line, [measure, value], for each measure that it can take:
`python -m benchmarks.in_process FOLDER SCHEME THREADS MEASURE,MEASURE`.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from benchmarks.measures import MEASURES

REPETITIONS = 3


class _Clock:
    """A streamer that records the time of each token; the prompt comes first."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing to do."""


def main() -> None:
    folder, scheme, threads, measures = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    dtype = torch.bfloat16 if scheme == "bf16" else torch.float32
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model.eval()
    torch.manual_seed(1)

    def generate(batch: int, prompt: int, output: int, **options: Any) -> float:
        """Return the seconds for `batch` prompts of random tokens and `output` tokens each."""
        token_ids = torch.randint(300, model.config.vocab_size - 3, (batch, prompt))
        started = time.perf_counter()
        model.generate(
            token_ids,
            attention_mask=torch.ones_like(token_ids),
            do_sample=False,
            max_new_tokens=output,
            min_new_tokens=output,
            **options,
        )
        return time.perf_counter() - started

    generate(1, 16, 1)
    print("ready", flush=True)
    for name in measures.split(","):
        value = _value(name, generate)
        if value is not None:
            print(json.dumps([name, value]), flush=True)


def _value(name: str, generate: Callable[..., float]) -> float | None:
    cell = MEASURES[name].cell
    if cell is None or cell.shared_prefix:
        return None
    if name == "decode_1":
        clock = _Clock()
        generate(1, cell.prompt_tokens, cell.output_tokens, streamer=clock)
        _, first, *_, last = clock.times
        return (cell.output_tokens - 1) / (last - first)
    if name == "answer":
        seconds = [generate(1, cell.prompt_tokens, cell.output_tokens) for _ in range(REPETITIONS)]
        return sum(seconds) / REPETITIONS
    if cell.output_tokens == 1:
        seconds = sorted(generate(1, cell.prompt_tokens, 1) for _ in range(REPETITIONS))
        return cell.prompt_tokens / seconds[REPETITIONS // 2]
    tokens = cell.num_requests * cell.output_tokens
    return tokens / generate(cell.num_requests, cell.prompt_tokens, cell.output_tokens)


if __name__ == "__main__":
    main()
