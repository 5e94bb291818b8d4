"""Finds out whether a model sees: its template has a place for images, and a trial gets through.

Owns the reasons why not, for the operator. How pictures are read and encoded is in `engine.vision`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from llm_service.engine.conversation import Conversation
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.loading.language_part import LanguagePart
from llm_service.engine.picture import Picture
from llm_service.engine.sequential import on_model
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vision.encoder import PictureEncoder
from llm_service.engine.vision.inputs import prompt_with_inputs
from llm_service.engine.vision.reader import PictureReader, ReaderUnusable
from llm_service.errors import ServiceError

_CANARY = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
]
_SIDE = 64  # pixels


def find_reader(
    checkpoint: Checkpoint, folder: Path, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> tuple[PictureReader | None, tuple[str, ...]]:
    """Return what reads pictures for the model, and why it sees none if it has an encoder.

    `model` has its weights. A small picture is encoded by it.
    """
    if not _has_encoder(checkpoint):
        return None, ()
    try:
        reader = PictureReader(folder, checkpoint.config, tokenizer)
        token_ids = _try_template(tokenizer, reader)
        _try_encoder(model, reader, token_ids)
    except ReaderUnusable as error:
        return None, (f"sees no images because {error}",)
    return reader, ()


def _has_encoder(checkpoint: Checkpoint) -> bool:
    shell: Any = checkpoint.shell
    is_of_kind = type(checkpoint.config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return is_of_kind and checkpoint.sentence is None and hasattr(shell, "get_image_features")


def _try_template(tokenizer: PreTrainedTokenizerBase, reader: PictureReader) -> list[int]:
    """Return a prompt with one placeholder. Raises ReaderUnusable if the template writes none."""
    try:
        token_ids = SealedTokenizer(tokenizer).encode_chat(Conversation(_CANARY))
    except ServiceError as error:
        raise ReaderUnusable(f"its chat template refuses them: {str(error).rstrip('.')}") from error
    if token_ids.count(reader.placeholder_id) != 1:
        raise ReaderUnusable("its chat template has no place for them")
    return token_ids


def _try_encoder(model: PreTrainedModel, reader: PictureReader, token_ids: Sequence[int]) -> None:
    """Raises ReaderUnusable if the model does not run with a picture."""
    try:
        if isinstance(model, LanguagePart):
            reading = reader.read(_canary_picture())
            PictureEncoder(model.whole).features(reading.inputs, reading.num_features)
        else:
            _generate(model, reader, token_ids)
    except Exception as error:  # whatever the model raises is the reason
        raise ReaderUnusable(
            f"it does not run with one ({type(error).__name__}: {error})"
        ) from error


@torch.inference_mode()
def _generate(model: Any, reader: PictureReader, token_ids: Sequence[int]) -> None:
    prompt = prompt_with_inputs(reader, token_ids, [_canary_picture()])
    ids = torch.tensor([prompt.token_ids], device=model.device)
    assert prompt.inputs is not None
    make: Any = GenerationConfig
    own, model.generation_config = model.generation_config, make(pad_token_id=0)
    try:
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=1,
            **on_model(model, prompt.inputs()),
        )
    finally:
        model.generation_config = own


def _canary_picture() -> Picture:
    pixels = bytes(range(256)) * (_SIDE * _SIDE * 3 // 256)
    return Picture(_SIDE, _SIDE, pixels, hashlib.sha256(pixels).digest())
