"""Every architecture that transformers generates text with, as a tiny configuration or a sentence.

A row of `FAMILIES` says what a model type needs beside the sizes that all share: lists per
layer, pairs of sizes that must agree, kinds of layer that the defaults would leave out. What is
not in the table is in `NOT_SERVED`, with the reason; a test holds both against transformers' own
list.
"""

import dataclasses
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCAB_SIZE = 96  # printable ASCII and the end
EOS = 95
MAX_CONTEXT = 256

# Given to each configuration that has a field of the name. The weights are spread wide, so that
# the two likeliest tokens are far apart; the window is shorter than the prompts.
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": MAX_CONTEXT,
    "initializer_range": 0.4,
    "init_std": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": None,
    "sliding_window": 11,
    # mixtures of experts
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_topk": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    # latent attention
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    # sparse attention
    "index_topk": 8,
    "index_head_dim": 16,
    "index_n_heads": 2,
    # layers with a state
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "mamba_d_state": 8,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_dt_rank": 4,
    "mamba_chunk_size": 16,
    "state_size": 8,
    # as encoder-decoder models call them
    "d_model": 32,
    "decoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "ffn_dim": 64,
}

_LATENT = {"num_key_value_heads": 4}
_DECODER = {"is_decoder": True}  # encoders that transformers also runs as decoders
_ROBERTA = {**_DECODER, "pad_token_id": 1}  # positions are counted from it
_WIDE = {"hidden_size": 64}  # heads of 16, where they cannot be set apart
_INKLING = {
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 16,
    "sliding_window_size": 11,
    "d_rel": 4,
    "rel_extent": 32,
}
_TINY_VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": {},
    "apertus": {},
    "arcee": {},
    "aria_text": {},
    "axk1": _LATENT,
    "axk2": _LATENT,
    "bailing_hybrid": {**_LATENT, "layer_group_size": 2, "first_k_dense_replace": 1},
    "bamba": {"attn_layer_indices": [1, 3]},
    "beam": {},
    "bert": _DECODER,
    "bert-generation": _DECODER,
    "big_bird": {**_DECODER, "attention_type": "original_full"},
    "biogpt": {},
    "bitnet": {},
    "bloom": {},
    "camembert": _ROBERTA,
    "codegen": {"rotary_dim": 4},
    "cohere": {"logit_scale": 1.0},
    "cohere2": {"logit_scale": 1.0},
    "cohere2_moe": {"logit_scale": 1.0},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": None,
        },
    },
    "ctrl": {"dff": 64},
    "cwm": {"bos_token_id": 0},
    "data2vec-text": _ROBERTA,
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {
            "hidden_size": 32,
            "ffn_hidden_size": 64,
            "moe_num_experts": 4,
            "moe_top_k": 2,
        },
        "num_key_value_heads": 2,
        "max_seq_len": MAX_CONTEXT,
    },
    "deepseek_v2": {**_LATENT, "first_k_dense_replace": 1},
    "deepseek_v3": {**_LATENT, "first_k_dense_replace": 1},
    "deepseek_v32": _LATENT,
    "deepseek_v4": {
        "num_key_value_heads": 1,
        "o_groups": 2,
        "o_lora_rank": 16,
        "partial_rotary_factor": 0.5,
    },
    "diffllama": {},
    "doge": {},
    "dots1": {**_WIDE, "n_shared_experts": 1, "num_key_value_heads": 2, "first_k_dense_replace": 1},
    "dots3_note_text": {
        **_LATENT,
        "shared_experts_intermediate_size": 32,
        "layer_types": ["sliding_attention", "indexed_attention"] * 2,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
        "rope_parameters": {
            name: {"rope_type": "default", "rope_theta": 10000.0}
            for name in ("sliding_attention", "indexed_attention")
        },
    },
    "electra": _DECODER,
    "ernie": _DECODER,
    "ernie4_5": {},
    "ernie4_5_moe": _WIDE,
    "exaone4": {},
    "exaone_moe": _WIDE,
    "falcon": {},
    "falcon_h1": {"mamba_d_ssm": 64},
    "falcon_mamba": {},
    "flex_olmo": {},
    "flint": {},
    "gemma": {},
    "gemma2": {},
    "gemma3": {},
    "gemma3_text": {},
    "gemma3n_text": {
        "num_kv_shared_layers": 1,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "vocab_size_per_layer_input": VOCAB_SIZE,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
    },
    "gemma4": {},
    "gemma4_text": {
        "pad_token_id": EOS,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "vocab_size_per_layer_input": VOCAB_SIZE,
        "hidden_size_per_layer_input": 8,
    },
    "gemma4_unified_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "use_bidirectional_attention": None,
    },
    "git": {"vision_config": _TINY_VISION},
    "glm": {},
    "glm4": {},
    "glm4_moe": _WIDE,
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt-sw3": {},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 11},
    "gpt_neox": {},
    "gpt_neox_japanese": {},
    "gpt_oss": {},
    "gptj": {"rotary_dim": 4},
    "granite": _WIDE,
    "granite_swa": {},
    "granitemoe": {},
    "granitemoe_swa": {},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2,
        "shared_intermediate_size": 32,
    },
    "granitemoeshared": {"shared_intermediate_size": 32},
    "helium": {**_WIDE, "num_key_value_heads": 4},
    # It runs its layers many times over, which with wider weights makes rounding grow.
    "hrm_text": {"initializer_range": 0.1},
    "hunyuan_v1_dense": {},
    "hunyuan_v1_moe": {},
    "hy_v3": {},
    "hy_v4": {},
    "hyperclovax": {},
    "inkling2_text": _INKLING,
    "inkling_text": _INKLING,
    "internlm3": {},
    "iquestcoder": {},
    "jais2": {},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "jetmoe": {},
    "kimi_linear": {
        **_LATENT,
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "linear_head_dim": 8,
        "linear_num_heads": 4,
    },
    "kolibri1": {},
    "laguna": {},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm3": {},
    "llama": {},
    "llama4": {},
    "llama4_text": {},
    "longcat_flash": {
        **_LATENT,
        "num_layers": 2,
        "ffn_hidden_size": 64,
        "expert_ffn_hidden_size": 32,
        "zero_expert_num": 2,
        "head_dim": 8,
    },
    "mamba": {},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 2, "chunk_size": 16},
    "megatron-bert": _DECODER,
    "mellum": {},
    "mimo_v2_flash": {},
    "minicpm3": _LATENT,
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "minimax_m2": {},
    "minimax_m3_vl_text": {
        "dense_intermediate_size": 64,
        "shared_intermediate_size": 32,
        "rotary_dim": 8,
        "index_block_size": 8,
        "index_topk_blocks": 2,
    },
    "ministral": {},
    "ministral3": {},
    "mistral": {},
    "mixtral": {},
    "modernbert-decoder": dict.fromkeys(
        ("pad_token_id", "bos_token_id", "cls_token_id", "sep_token_id"), EOS
    ),
    "moshi": {},
    "mpt": {},
    "nanochat": {},
    "nemotron": {},
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention", "mlp", "moe"],
        "ssm_state_size": 8,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "n_groups": 2,
        "moe_shared_expert_intermediate_size": 32,
    },
    "olmo": _WIDE,
    "olmo2": {},
    "olmo3": {},
    "olmo_hybrid": {},
    "olmoe": {},
    "openai-gpt": {},
    "opt": {},
    "persimmon": {},
    "phi": {},
    "phi3": _WIDE,
    "phimoe": {},
    "qwen2": _WIDE,
    "qwen2_moe": {},
    "qwen3": {},
    "qwen3_5": {},
    "qwen3_5_moe": {},
    "qwen3_5_moe_text": {},
    "qwen3_5_text": {},
    "qwen3_moe": {},
    "qwen3_next": {},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
    },
    "recurrent_gemma": {},
    "reformer": {
        **_DECODER,
        "pad_token_id": EOS,
        "hash_seed": 0,  # else no two runs of the model agree
        "axial_pos_shape": [16, 16],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": 8,
        "feed_forward_size": 64,
        "local_attn_chunk_length": 16,
        "lsh_attn_chunk_length": 16,
        "num_buckets": 4,
    },
    "rembert": {**_DECODER, "input_embedding_size": 32, "output_embedding_size": 32},
    "roberta": _ROBERTA,
    "roberta-prelayernorm": _ROBERTA,
    "roc_bert": {
        **_DECODER,
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": 8,
        "shape_embed_dim": 8,
        "shape_vocab_size": 8,
    },
    "roformer": _DECODER,
    "rwkv": {},
    "seed_oss": {},
    "smollm3": _WIDE,
    "solar_open": {},
    "stablelm": {},
    "starcoder2": {},
    "trocr": {},
    "vaultgemma": {},
    "xglm": {},
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA,
    "xlnet": {"d_head": 8, "d_inner": 64},
    "xlstm": {"hidden_size": 64, "num_heads": 4, "qk_dim_factor": 1.0, "chunk_size": 16},
    "xmod": {**_ROBERTA, "default_language": "en_XX"},
    "youtu": _LATENT,
    "zamba": {},
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "n_mamba_heads": 4,
        "chunk_size": 16,
        "adapter_rank": 8,
    },
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}

# Models that take more than text, with the model type of their text part.
_TEXT_PARTS = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "llama4": "llama4_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}

ENCODER_DECODERS = (
    *("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp"),
    *("pegasus", "plbart", "prophetnet", "whisper"),
)
_TAKES_MORE = "takes more than text; its text part is served as `{}`"
NOT_SERVED: dict[str, str] = {
    **dict.fromkeys(
        ENCODER_DECODERS, "an encoder-decoder model, which the service does not support"
    ),
    "blt": "consists of four models over bytes and has no tokenizer",
    "cpmant": "its own `generate` fails with the pinned transformers library",
    "dots3_note": _TAKES_MORE.format("dots3_note_text"),
    "emu3": "reads and generates images as tokens",
    "fuyu": _TAKES_MORE.format("persimmon"),
    "gemma3n": "takes more than text, which needs the library timm",
    "gemma4_assistant": "a draft model for another model, which cannot run alone",
    "gemma4_unified": _TAKES_MORE.format("gemma4_unified_text"),
    "gemma4_unified_assistant": "a draft model for another model, which cannot run alone",
    "got_ocr2": _TAKES_MORE.format("qwen2"),
    "mllama": "takes images, and has layers that attend only to images",
    "moss_transcribe_diarize": "takes audio; its text part is served as `qwen3`",
    "musicgen": "generates audio",
    "musicgen_melody": "generates audio",
    "phi4_multimodal": "takes images and audio besides text, in separate layers",
    "qwen4_exp": _TAKES_MORE.format("qwen4_exp_text"),
    "xlm": "its own `generate` fails with the pinned transformers library",
}


def tiny_config(model_type: str) -> PreTrainedConfig:
    """The configuration of `model_type` in the smallest sizes that still have all its parts."""
    make = CONFIG_MAPPING[model_type]
    names = {field.name for field in dataclasses.fields(make)} | set(make.attribute_map)
    sizes = {name: value for name, value in _SIZES.items() if name in names}
    parts = {}
    if model_type in _TEXT_PARTS:
        parts["text_config"] = tiny_config(_TEXT_PARTS[model_type]).to_dict()
        parts["vision_config"] = _TINY_VISION
    return make(**{**sizes, **FAMILIES.get(model_type, {}), **parts})


def model_types() -> list[str]:
    """Those of transformers' mapping, in its order."""
    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
