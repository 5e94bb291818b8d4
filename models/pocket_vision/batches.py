"""Owns the stream of training batches: scenes with several questions each, drawn while training.

A background process draws the next chunk, so no data set lies on disk, and a position in the
stream is one number.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor

from models.pocket import network as pocket
from models.pocket.chat import Conversation
from models.pocket.tokenizer import FOLDER as POCKET
from models.pocket_vision import network
from models.pocket_vision.scenes import Question, Scene, scene

SPECIAL = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
IMAGE = f"{SPECIAL[0]}{SPECIAL[2]}{SPECIAL[1]}"
CONVERSATIONS = 16
CHUNK = 20  # batches
MOST_QUESTIONS = 7


@dataclass(frozen=True, slots=True)
class Document:
    """One tokenised conversation and the patches of its pictures."""

    tokens: list[int]
    learnt: list[bool]
    patches: Tensor
    grids: Tensor


@cache
def tokenizer() -> Tokenizer:
    """pocket's, with the tokens that surround a picture."""
    made = Tokenizer.from_file(str(POCKET / "tokenizer.json"))
    made.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    assert made.token_to_id(SPECIAL[2]) == network.IMAGE_PAD
    return made


@cache
def _processor() -> Any:
    return network.image_processor()


def question_text(made: Scene, question: Question, *, with_pictures: bool) -> str:
    return IMAGE * len(made.pictures) * with_pictures + question.text


def conversation(rng: Random, made: Scene) -> Conversation:
    """All questions about a scene, in any order; the pictures come with the first."""
    asked = rng.sample(made.questions, min(len(made.questions), MOST_QUESTIONS))
    talk = Conversation(system=rng.choice(("", "", "You are a helpful assistant.")))
    for i, question in enumerate(asked):
        talk.user(question_text(made, question, with_pictures=i == 0))
        talk.assistant(question.answer)
    return talk


def document(talk: Conversation, made: Scene) -> Document:
    prepared = _processor()(images=list(made.pictures), return_tensors="pt")
    numbers = (prepared["image_grid_thw"].prod(dim=1) // network.MERGE**2).tolist()
    tokens, learnt = [], []
    for span, encoded in zip(
        talk.spans, tokenizer().encode_batch([span.text for span in talk.spans]), strict=True
    ):
        for token in encoded.ids:
            repeated = numbers.pop(0) if token == network.IMAGE_PAD else 1
            tokens += [token] * repeated
            learnt += [span.learnt] * repeated
    return Document(tokens, learnt, prepared["pixel_values"], prepared["image_grid_thw"])


def collated(documents: list[Document]) -> network.Batch:
    lengths = [len(each.tokens) for each in documents]
    tokens = torch.full((len(documents), max(lengths)), pocket.END_OF_TEXT)
    learnt = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, each in enumerate(documents):
        tokens[row, : lengths[row]] = torch.tensor(each.tokens)
        learnt[row, : lengths[row]] = torch.tensor(each.learnt)
    patches = torch.cat([each.patches for each in documents])
    grids = torch.cat([each.grids for each in documents])
    return network.Batch(tokens, learnt, torch.tensor(lengths), patches, grids)


def write_chunk(seed: str) -> list[Any]:
    """The same seed gives the same batches."""
    torch.set_num_threads(1)
    rng = Random(seed)
    batches = []
    for _ in range(CHUNK):
        scenes = [scene(rng, held_out=False) for _ in range(CONVERSATIONS)]
        batch = collated([document(conversation(rng, made), made) for made in scenes])
        # Arrays cross to another process as they are; tensors would take a file descriptor each.
        batches.append([getattr(batch, name).numpy() for name in batch.__slots__])
    return batches


def batches(seed: int, rank: int, first_chunk: int) -> Iterator[tuple[int, network.Batch]]:
    """Yield (chunk, batch) without end; the next chunk is drawn meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        index = first_chunk
        coming = pool.submit(write_chunk, f"{seed} {rank} {index}")
        while True:
            chunk = coming.result()
            coming = pool.submit(write_chunk, f"{seed} {rank} {index + 1}")
            for arrays in chunk:
                yield index, network.Batch(*map(torch.from_numpy, arrays))
            index += 1
