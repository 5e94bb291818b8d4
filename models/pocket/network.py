"""Owns the shape of the network: a small Qwen2, and attention over packed conversations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.pocket.tokenizer import MAX_POSITIONS, VOCABULARY

END_OF_TEXT = VOCABULARY - 5
IM_END = VOCABULARY - 3


def config() -> Qwen2Config:
    return Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=IM_END,
        pad_token_id=END_OF_TEXT,
    )


def _packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    lengths: list[int],
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each conversation of a packed row, without a mask or padding."""
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    parts = zip(*(torch.split(part, lengths, dim=2) for part in (query, key, value)), strict=True)
    mixed = [functional.scaled_dot_product_attention(q, k, v, is_causal=True) for q, k, v in parts]
    return torch.cat(mixed, dim=2).transpose(1, 2).contiguous(), None


def for_training() -> Qwen2ForCausalLM:
    ALL_ATTENTION_FUNCTIONS.register("packed", _packed_attention)
    model = Qwen2ForCausalLM(config())
    model.config._attn_implementation = "packed"
    return model


def answer_loss(
    model: Qwen2ForCausalLM, tokens: Tensor, learnt: Tensor, lengths: list[int]
) -> Tensor:
    """Cross entropy on the assistant's tokens; the vocabulary is scored only there."""
    positions = torch.cat([torch.arange(n, device=tokens.device) for n in lengths])
    hidden = model.model(
        input_ids=tokens[None],
        position_ids=positions[None],
        attention_mask={"full_attention": None},
        use_cache=False,
        lengths=lengths,
    ).last_hidden_state[0]
    before = learnt[1:].nonzero().squeeze(1)
    return functional.cross_entropy(model.lm_head(hidden[before]), tokens[before + 1])
