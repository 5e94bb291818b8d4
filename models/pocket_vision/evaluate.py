"""Owns the measurement: questions about held-out scenes, greedy answers, accuracy per skill.

python -m models.pocket_vision.evaluate                       # the exported model
python -m models.pocket_vision.evaluate --checkpoint FILE --each 20
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch
from tqdm import tqdm
from transformers import Qwen3VLForConditionalGeneration

from models.pocket import network as pocket
from models.pocket.chat import Conversation
from models.pocket.evaluate import Score, table
from models.pocket_vision import batches, network
from models.pocket_vision.export import PUBLISHED, load_checkpoint
from models.pocket_vision.scenes import Question, Scene, scene

SKILLS = (
    *("colour", "shape", "position", "count", "yes or no", "description"),
    *("word", "number", "chart", "two images"),
)
MOST_NEW_TOKENS = 60


def cases(seed: int, each: int) -> Iterator[tuple[Scene, Question]]:
    """Yield `each` questions of every skill, each about a new held-out scene."""
    rng = Random(f"evaluation {seed}")
    wanted = dict.fromkeys(SKILLS, each)
    while any(wanted.values()):
        made = scene(rng, held_out=True)
        open_questions = [q for q in made.questions if wanted[q.skill]]
        if open_questions:
            question = rng.choice(open_questions)
            wanted[question.skill] -= 1
            yield made, question


@torch.inference_mode()
def answer(model: Any, made: Scene, question: Question) -> list[int]:
    talk = Conversation()
    talk.user(batches.question_text(made, question, with_pictures=True))
    prompt = batches.document(talk, made)
    begun = batches.tokenizer().encode("<|im_start|>assistant\n").ids
    tokens = torch.tensor([prompt.tokens + begun])
    found = model.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        pixel_values=prompt.patches.to(model.dtype),
        image_grid_thw=prompt.grids,
        mm_token_type_ids=(tokens == network.IMAGE_PAD).int(),
        do_sample=False,
        temperature=None,
        max_new_tokens=MOST_NEW_TOKENS,
    )
    new: list[int] = found[0, tokens.shape[1] :].tolist()
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure pocket-vision on held-out pictures.")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint instead of the export")
    parser.add_argument("--each", type=int, default=100, help="questions of every skill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=Path, help="write what went wrong into this file")
    arguments = parser.parse_args()
    if arguments.checkpoint:
        model = load_checkpoint(arguments.checkpoint)
    else:
        model = Qwen3VLForConditionalGeneration.from_pretrained(PUBLISHED, dtype=torch.float32)
    scores = {skill: Score() for skill in SKILLS}
    wrong = []
    total = arguments.each * len(SKILLS)
    for made, question in tqdm(cases(arguments.seed, arguments.each), total=total):
        tokens = answer(model, made, question)
        stopped = pocket.IM_END in tokens
        kept = tokens[: tokens.index(pocket.IM_END)] if stopped else tokens
        reply = batches.tokenizer().decode(kept)
        scores[question.skill].add(reply == question.answer, stopped)
        if reply != question.answer:
            wrong.append({**asdict(question), "got": reply})
    print(table(scores))
    if arguments.failures:
        arguments.failures.write_text(json.dumps(wrong, indent=1))
    if not arguments.checkpoint:
        results = {skill: asdict(score) for skill, score in scores.items()}
        (PUBLISHED / "evaluation.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
