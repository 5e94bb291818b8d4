"""A tiny random model of an architecture in a folder, and what `transformers.generate` answers.

The vocabulary is printable ASCII, a token a character, so a text over HTTP is as good as token
ids. Prompts are chosen so that the two likeliest tokens are never as close as rounding could
bring them: an answer that differs is then wrong.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.strangers.architectures import EOS, tiny_config

MAX_TOKENS = 24
NUM_PROMPTS = 6
# Random models rarely say the end token; with some characters as well, answers end by themselves.
_EOS_TOKEN_IDS = [EOS, 0, 1]
_SHARED_PREFIX = 21  # more than a block of the KV cache, and than the sliding windows
# Between the two likeliest tokens, as a share of what lies between the likeliest and the least
# likely. Rounding moves logits by a hundredth of this.
_LEAST_GAP = 2e-4
_MOST_TRIES = 40
_LEAST_LENGTH = 3


class Undecided(Exception):
    """No weights were found whose answers tell right from wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    prompt: tuple[int, ...]
    text: str
    finish_reason: str


def text_of(token_ids: tuple[int, ...]) -> str:
    return "".join(chr(32 + i) for i in token_ids)


def save_model(model_type: str, folder: Path) -> list[Answer]:
    """Write a model and its tokenizer to `folder`; the answers that are right for it.

    Raises Undecided when several seeds give no model with enough clear answers.
    """
    for seed in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        _write(model_type, seed, folder)
        # As anyone would load it: what is served must agree with what the files say.
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        answers = list(_clear_answers(model))
        if len(answers) == NUM_PROMPTS and _tell_models_apart(answers):
            return answers
    raise Undecided(f"{model_type}: {[answer.text for answer in answers]}")


def _write(model_type: str, seed: int, folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            tiny_config(model_type), attn_implementation="eager"
        ).float()
    model.generation_config = GenerationConfig(eos_token_id=_EOS_TOKEN_IDS, pad_token_id=EOS)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE({text_of((i,)): i for i in range(EOS)}, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def _clear_answers(model: PreTrainedModel) -> Iterator[Answer]:
    """At most NUM_PROMPTS answers, to prompts of different lengths that begin the same."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(len(_EOS_TOKEN_IDS), EOS, (_MOST_TRIES, 64), generator=generator)
    num_found = 0
    for number, row in enumerate(ids.tolist()):
        tail = row[_SHARED_PREFIX : _SHARED_PREFIX + 3 + 7 * (number % NUM_PROMPTS)]
        prompt = (*ids[0, :_SHARED_PREFIX].tolist(), *tail)
        answer, gap = generate(model, prompt)
        if gap >= _LEAST_GAP and len(answer.text) >= _LEAST_LENGTH:
            num_found += 1
            yield answer
        if num_found == NUM_PROMPTS:
            return


@torch.inference_mode()
def generate(model: PreTrainedModel, prompt: tuple[int, ...]) -> tuple[Answer, float]:
    """The greedy answer of transformers, and its smallest gap."""
    ids = torch.tensor([prompt])
    generate: Any = model.generate  # which torch takes for a tensor or a module
    output = generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=MAX_TOKENS,
        do_sample=False,
        eos_token_id=_EOS_TOKEN_IDS,
        pad_token_id=EOS,
        output_logits=True,
        return_dict_in_generate=True,
    )
    made = tuple(output.sequences[0, len(prompt) :].tolist())
    is_ended = made[-1] in _EOS_TOKEN_IDS
    gap = min(_gap(logits[0]) for logits in output.logits)
    answer = Answer(
        prompt, text_of(made[:-1] if is_ended else made), "stop" if is_ended else "length"
    )
    return answer, gap


def _gap(logits: torch.Tensor) -> float:
    first, second = logits.topk(2).values.tolist()
    return float((first - second) / (first - logits.min().item()))


def _tell_models_apart(answers: list[Answer]) -> bool:
    """Whether the answers depend on the prompts, and are more than one token said again."""
    return len({a.text for a in answers}) >= 4 and len(set("".join(a.text for a in answers))) >= 4
