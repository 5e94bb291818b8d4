"""Owns the stream of training batches: conversations, tokenised and packed to one length.

A background process writes the next chunk of the corpus while the current one is trained on, so
no data set lies on disk and a position in the stream is just two numbers.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models.pocket.chat import Span
from models.pocket.corpus import conversations
from models.pocket.tokenizer import FOLDER

CHUNK = 1000  # conversations, about 200,000 tokens
MOST_TOKENS = 1400
LONG = 500
MOST_HELD = 50


@dataclass(frozen=True)
class Document:
    """One tokenised conversation; `learnt` marks the tokens that the assistant wrote."""

    tokens: npt.NDArray[np.int64]
    learnt: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Documents end to end, exactly as many tokens as asked for."""

    tokens: npt.NDArray[np.int64]
    learnt: npt.NDArray[np.bool_]
    lengths: list[int]


@dataclass
class Position:
    """Where in the endless stream the next document comes from."""

    chunk: int = 0
    document: int = 0


def write_chunk(seed: tuple[int, int], index: int) -> list[Document]:
    """The same seed, rank and index give the same documents, on any machine."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    talks = itertools.islice(conversations(f"{seed} {index}"), CHUNK)
    return [document(tokenizer, talk.spans) for talk in talks]


def document(tokenizer: Tokenizer, spans: list[Span]) -> Document:
    pieces = [piece.ids for piece in tokenizer.encode_batch([span.text for span in spans])]
    learnt = [np.full(len(p), span.learnt) for p, span in zip(pieces, spans, strict=True)]
    tokens = np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])
    return Document(tokens[:MOST_TOKENS], np.concatenate(learnt)[:MOST_TOKENS])


def documents(seed: int, position: Position, rank: int) -> Iterator[Document]:
    """Documents from `position` on, which moves along; the next chunk is made meanwhile.

    Every worker has a stream of its own.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        coming = pool.submit(write_chunk, (seed, rank), position.chunk)
        while True:
            chunk = coming.result()
            coming = pool.submit(write_chunk, (seed, rank), position.chunk + 1)
            for made in chunk[position.document :]:
                position.document += 1
                yield made
            position.chunk, position.document = position.chunk + 1, 0


def batches(seed: int, position: Position, size: int, rank: int) -> Iterator[Batch]:
    """Pack documents into rows of `size` tokens; the last one of a row is cut to fit.

    A long one that would be cut opens the next row instead: what is asked for at the end of a
    long conversation is the rarest lesson.
    """
    row: list[Document] = []
    room = size
    held: list[Document] = []
    for made in documents(seed, position, rank):
        if LONG < len(made.tokens) < size and len(made.tokens) > room and len(held) < MOST_HELD:
            held.append(made)
            continue
        cut = Document(made.tokens[:room], made.learnt[:room])
        row.append(cut)
        room -= len(cut.tokens)
        if not room:
            yield _joined(row)
            row = [held.pop()] if held else []
            room = size - sum(len(part.tokens) for part in row)


def _joined(row: list[Document]) -> Batch:
    return Batch(
        np.concatenate([part.tokens for part in row]),
        np.concatenate([part.learnt for part in row]),
        [len(part.tokens) for part in row],
    )
