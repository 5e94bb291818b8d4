"""Finds out whether a model sees: whether its pictures can be read and its template has a place.

Owns the reasons why not, for the operator. How pictures are read is in `engine.vision`.
"""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from llm_service.engine.conversation import Conversation
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vision.reader import PictureReader, ReaderUnusable
from llm_service.errors import ServiceError

_CANARY = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
]


def find_reader(
    checkpoint: Checkpoint, folder: Path, tokenizer: PreTrainedTokenizerBase
) -> tuple[PictureReader | None, tuple[str, ...]]:
    """Return what reads pictures for the model, and why it sees none if it could be made to."""
    if not _has_encoder(checkpoint):
        return None, ()
    try:
        reader = PictureReader(folder, checkpoint.config, tokenizer)
        _try_template(tokenizer, reader)
    except ReaderUnusable as error:
        return None, (f"sees no images because {error}",)
    return reader, ()


def _has_encoder(checkpoint: Checkpoint) -> bool:
    shell: Any = checkpoint.shell
    is_of_kind = type(checkpoint.config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return is_of_kind and checkpoint.sentence is None and hasattr(shell, "get_image_features")


def _try_template(tokenizer: PreTrainedTokenizerBase, reader: PictureReader) -> None:
    """Raises ReaderUnusable unless the chat template writes one placeholder for an image."""
    try:
        token_ids = SealedTokenizer(tokenizer).encode_chat(Conversation(_CANARY))
    except ServiceError as error:
        raise ReaderUnusable(f"its chat template refuses them: {str(error).rstrip('.')}") from error
    if token_ids.count(reader.placeholder_id) != 1:
        raise ReaderUnusable("its chat template has no place for them")
