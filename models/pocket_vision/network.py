"""Owns the shape of the network, a small Qwen3-VL, and the loss over answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from models.pocket import network as pocket
from models.pocket.tokenizer import FOLDER as POCKET
from models.pocket.tokenizer import VOCABULARY

VISION_START, VISION_END, IMAGE_PAD = range(VOCABULARY, VOCABULARY + 3)
PADDED_VOCABULARY = VOCABULARY + 8
MAX_POSITIONS = 1024
PATCH, MERGE = 8, 2
# Pixels of a picture after scaling: 16 to 64 tokens.
SMALLEST, LARGEST = 64 * 64, 128 * 128


def config() -> Qwen3VLConfig:
    return Qwen3VLConfig(
        text_config={
            "vocab_size": PADDED_VOCABULARY,
            "hidden_size": 256,
            "intermediate_size": 640,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": MAX_POSITIONS,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [12, 10, 10],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": pocket.IM_END,
            "pad_token_id": pocket.END_OF_TEXT,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_heads": 3,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "num_position_embeddings": 16 * 16,
            "out_hidden_size": 256,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=IMAGE_PAD,
        video_token_id=PADDED_VOCABULARY - 1,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
        tie_word_embeddings=True,
    )


def image_processor() -> Any:
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
        size={"shortest_edge": SMALLEST, "longest_edge": LARGEST},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def new_model() -> Any:
    """Random weights, but for the embeddings, which are pocket's: it knows the words."""
    model: Any = Qwen3VLForConditionalGeneration(config())
    known: Any = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[:VOCABULARY] = known.get_input_embeddings().weight
    return model


@dataclass(frozen=True, slots=True)
class Batch:
    """Conversations of one padded length, and the patches of their pictures in order."""

    tokens: Tensor  # [conversations, length]
    learnt: Tensor  # [conversations, length]: what the assistant wrote
    lengths: Tensor
    patches: Tensor
    grids: Tensor  # [pictures, 3]: patches in time, height and width


def answer_loss(model: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy of the tokens that the assistant wrote."""
    tokens = batch.tokens
    places = torch.arange(tokens.shape[1], device=tokens.device)
    hidden = model.model(
        input_ids=tokens,
        attention_mask=(places < batch.lengths[:, None]).long(),
        pixel_values=batch.patches,
        image_grid_thw=batch.grids,
        mm_token_type_ids=(tokens == IMAGE_PAD).int(),
        use_cache=False,
    ).last_hidden_state
    wanted = batch.learnt[:, 1:]
    logits = model.lm_head(hidden[:, :-1][wanted])
    return functional.cross_entropy(logits, tokens[:, 1:][wanted])
