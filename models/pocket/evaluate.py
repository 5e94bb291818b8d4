"""Owns the measurement: held-out questions, greedy answers, accuracy per skill.

python -m models.pocket.evaluate                       # the exported model
python -m models.pocket.evaluate --checkpoint FILE --each 20
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.pocket.cases import Case, held_out_cases
from models.pocket.export import load_checkpoint
from models.pocket.tokenizer import FOLDER

BATCH = 50
MOST_NEW_TOKENS = 420


@dataclass(frozen=True)
class Reply:
    """What the model said, and whether it ended by itself."""

    text: str
    stopped: bool


@dataclass
class Score:
    """The result of one skill."""

    asked: int = 0
    right: int = 0
    stopped: int = 0

    def add(self, right: bool, stopped: bool) -> None:
        self.asked += 1
        self.right += right
        self.stopped += stopped


class Speaker:
    """A model and its tokenizer, answering prompts in batches by greedy decoding."""

    def __init__(self, checkpoint: Path | None, most_tokens: int = MOST_NEW_TOKENS) -> None:
        self._most_tokens = most_tokens
        self._tokenizer: Any = AutoTokenizer.from_pretrained(FOLDER)
        self._tokenizer.padding_side = "left"
        self._model: Any = (
            load_checkpoint(checkpoint)
            if checkpoint
            else AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
        )
        self._model.eval()  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def answer(self, prompts: Sequence[str]) -> list[Reply]:
        batch = self._tokenizer(list(prompts), return_tensors="pt", padding=True)
        made = self._model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=self._most_tokens,
        )
        return [self._reply(row) for row in made[:, batch["input_ids"].shape[1] :].tolist()]

    def _reply(self, tokens: list[int]) -> Reply:
        end = self._tokenizer.eos_token_id
        stopped = end in tokens
        text = self._tokenizer.decode(tokens[: tokens.index(end)] if stopped else tokens)
        return Reply(text, stopped)


def measure(speaker: Speaker, cases: list[Case], failures: Path | None = None) -> dict[str, Score]:
    scores: dict[str, Score] = defaultdict(Score)
    wrong = []
    for start in tqdm(range(0, len(cases), BATCH), unit="batch"):
        batch = cases[start : start + BATCH]
        replies = speaker.answer([case.prompt for case in batch])
        for case, reply in zip(batch, replies, strict=True):
            right = case.accepts(reply.text)
            scores[case.skill].add(right, reply.stopped)
            if not right:
                wrong.append({"wanted": case.answer, "got": reply.text, **asdict(case)})
    if failures:
        failures.write_text(json.dumps(wrong, indent=1))
    return scores


def table(scores: dict[str, Score]) -> str:
    lines = ["| Skill | Questions | Right | Stopped by itself |", "| --- | ---: | ---: | ---: |"]
    for skill, score in scores.items():
        right, stopped = (100 * part / score.asked for part in (score.right, score.stopped))
        lines.append(f"| {skill} | {score.asked} | {right:.0f} % | {stopped:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure pocket on held-out questions.")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint instead of the export")
    parser.add_argument("--each", type=int, default=120, help="questions of every kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-tokens", type=int, default=MOST_NEW_TOKENS)
    parser.add_argument("--failures", type=Path, help="write what went wrong into this file")
    arguments = parser.parse_args()
    cases = list(held_out_cases(arguments.seed, arguments.each))
    speaker = Speaker(arguments.checkpoint, arguments.most_tokens)
    scores = measure(speaker, cases, arguments.failures)
    print(table(scores))
    if not arguments.checkpoint:
        results = {skill: asdict(score) for skill, score in scores.items()}
        (FOLDER / "evaluation.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
