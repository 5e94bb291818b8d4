"""A tiny model with random weights of each family that sees, its processor and its right answers.

A folder holds what a checkpoint has. Answers are those of transformers' `generate` to what the
model's own processor makes of the same messages and images.
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto import image_processing_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from llm_service.engine import Conversation, Picture
from llm_service.engine.vision.reader import PictureReader
from tests.engine.models import EOS, EOS_TOKEN_IDS, byte_tokenizer

MAX_CONTEXT = 512

TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %};{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)
_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": MAX_CONTEXT,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": None,
}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
_QWEN_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_QWEN_VISION: dict[str, Any] = {
    "depth": 3,
    "num_heads": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "initializer_range": 0.2,
}
_QWEN_IMAGES = {
    "patch_size": 8,
    "merge_size": 2,
    "size": {"shortest_edge": 256, "longest_edge": 4096},
}
_IDEFICS: dict[str, Any] = {
    "config": {"scale_factor": 2},
    "vision": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.2,
    },
    "tokens": {"image_token_id": "<image>"},
    "more_tokens": (
        "<fake_token_around_image>",
        "<global-img>",
        "<end_of_utterance>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)),
    ),
    "images": {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
    "processor": {"image_seq_len": 4},
}


@dataclass(frozen=True)
class Family:
    """What a model type needs beside the sizes that all share."""

    text: dict[str, Any]
    vision: dict[str, Any]
    tokens: dict[str, str]  # names of token ids in the configuration, and the tokens
    image: str  # what the chat template writes for an image
    images: dict[str, Any]  # options of the image processor
    config: dict[str, Any] = field(default_factory=dict)
    more_tokens: tuple[str, ...] = ()
    named_tokens: dict[str, str] = field(default_factory=dict)  # attributes of the tokenizer
    processor: dict[str, Any] = field(default_factory=dict)  # options of the processor
    is_tied: bool = False  # whether the head shares the embedding's weights


FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family(
        text={"rope_parameters": _MROPE, "tie_word_embeddings": True},
        is_tied=True,
        vision={**_QWEN_VISION, "embed_dim": 32, "hidden_size": 32},
        tokens=_QWEN_TOKENS,
        image="<|vision_start|><|image_pad|><|vision_end|>",
        images=_QWEN_IMAGES,
    ),
    "qwen2_5_vl": Family(
        text={"rope_parameters": _MROPE},
        vision={
            **_QWEN_VISION,
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
        tokens=_QWEN_TOKENS,
        image="<|vision_start|><|image_pad|><|vision_end|>",
        images=_QWEN_IMAGES,
    ),
    "qwen3_vl": Family(
        text={"rope_parameters": {**_MROPE, "mrope_interleaved": True}},
        vision={
            **_QWEN_VISION,
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        tokens=_QWEN_TOKENS,
        image="<|vision_start|><|image_pad|><|vision_end|>",
        images=_QWEN_IMAGES,
    ),
    "llava": Family(
        text={"model_type": "llama"},
        vision={
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.2,
        },
        tokens={"image_token_index": "<image>"},
        image="<image>\n",
        images={"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
        config={"image_seq_length": 16},
        processor={
            "patch_size": 8,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
    ),
    "internvl": Family(
        text={"model_type": "qwen2"},
        vision={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [32, 32],
            "patch_size": [8, 8],
            "initializer_range": 0.2,
        },
        tokens={"image_token_id": "<IMG_CONTEXT>"},
        image="<IMG_CONTEXT>\n",
        images={
            "size": {"height": 32, "width": 32},
            "crop_to_patches": True,
            "min_patches": 1,
            "max_patches": 4,
        },
        config={"image_seq_length": 4},
        more_tokens=("<img>", "</img>", "<video>"),
        named_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        processor={"image_seq_length": 4},
    ),
    "idefics3": Family(text={"model_type": "llama"}, image="<image>", **_IDEFICS),
    "smolvlm": Family(text={"model_type": "llama"}, image="<image>", **_IDEFICS),
}


# Models that are served one request at a time.
SEQUENTIAL: dict[str, Family] = {
    # A token of an image sees the later tokens of the image, too.
    "gemma3": Family(
        text={"query_pre_attn_scalar": 16, "sliding_window": 64},
        vision={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        tokens={
            "image_token_index": "<image_soft_token>",
            "boi_token_index": "<start_of_image>",
            "eoi_token_index": "<end_of_image>",
        },
        image="<start_of_image>",
        images={"size": {"height": 32, "width": 32}},
        config={"mm_tokens_per_image": 4},
        named_tokens={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        processor={"image_seq_length": 4},
    ),
    # Most layers keep a state beside the KV cache.
    "qwen3_5": Family(
        text={
            "rope_parameters": {**_MROPE, "mrope_interleaved": True, "partial_rotary_factor": 1.0},
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        vision={
            **_QWEN_VISION,
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
        },
        tokens=_QWEN_TOKENS,
        image="<|vision_start|><|image_pad|><|vision_end|>",
        images=_QWEN_IMAGES,
    ),
}
_ALL = FAMILIES | SEQUENTIAL


@functools.cache
def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    family = _ALL[name]
    backend = byte_tokenizer().backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=type(backend).from_str(backend.to_str()), eos_token="<|endoftext|>"
    )
    tokens = [*family.tokens.values(), *family.more_tokens]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", family.image.replace("\n", "\\n"))
    if family.named_tokens:
        tokenizer._set_model_specific_special_tokens({**family.named_tokens})
    return tokenizer


def config_of(name: str) -> PreTrainedConfig:
    family, tokenizer = _ALL[name], tokenizer_of(name)
    ids: Any = {key: tokenizer.convert_tokens_to_ids(t) for key, t in family.tokens.items()}
    make: Any = CONFIG_MAPPING[name]
    config: PreTrainedConfig = make(
        text_config={**_TEXT, **family.text, "vocab_size": len(tokenizer)},
        vision_config=family.vision,
        tie_word_embeddings=family.is_tied,
        **family.config,
        **ids,
    )
    return config


def whole_model(name: str) -> PreTrainedModel:
    """One to change; its weights are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = AutoModelForImageTextToText.from_config(
            config_of(name), attn_implementation="eager"
        )
    return model.float().eval()


@functools.cache
def reference_model(name: str) -> PreTrainedModel:
    """Return the model that transformers serves; our engine never touches it."""
    return whole_model(name)


@functools.cache
def folder_of(name: str) -> Path:
    """A folder with the processor's files; it lives as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    write_processor(name, folder)
    return folder


def write_processor(name: str, folder: Path) -> None:
    family, tokenizer = _ALL[name], tokenizer_of(name)
    tokenizer.save_pretrained(folder)
    _image_processor(name).save_pretrained(folder)
    if family.processor:
        stated = {"processor_class": _processor_kind(name).__name__, **family.processor}
        (folder / "processor_config.json").write_text(json.dumps(stated))


def _processor_kind(name: str) -> Any:
    return PROCESSOR_MAPPING[type(config_of(name))]


def _image_processor(name: str) -> Any:
    kinds: Any = image_processing_auto
    kind = kinds.IMAGE_PROCESSOR_MAPPING_NAMES[name]["pil"]
    return getattr(transformers, kind)(**_ALL[name].images)


def picture(seed: int, width: int = 40, height: int = 56) -> Picture:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8)
    data = pixels.numpy().tobytes()
    content_hash = hashlib.sha256(f"{width}x{height}".encode() + data).digest()
    return Picture(width, height, data, content_hash)


def message(role: str, *content: str | Picture) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
        for part in content
    ]
    return {"role": role, "content": parts}


def conversation(*turns: Sequence[str | Picture]) -> Conversation:
    """Turns of user and assistant, one after the other."""
    roles = ("user", "assistant")
    messages = [message(roles[i % 2], *turn) for i, turn in enumerate(turns)]
    pictures = [part for turn in turns for part in turn if isinstance(part, Picture)]
    return Conversation(messages, pictures=pictures)


@functools.cache
def reader_of(name: str) -> PictureReader:
    return PictureReader(folder_of(name), config_of(name), tokenizer_of(name))


def inputs_of(name: str, asked: Conversation) -> dict[str, torch.Tensor]:
    """What transformers' own processor makes of the conversation, in one call."""
    messages: Any = list(asked.messages)
    text = tokenizer_of(name).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    images = [
        Image.frombytes("RGB", (each.width, each.height), each.pixels) for each in asked.pictures
    ]
    processor = reader_of(name).processor
    return dict(processor(images=images or None, text=[text], return_tensors="pt"))


def answer_of(name: str, asked: Conversation, max_tokens: int) -> tuple[int, ...]:
    """What transformers' own processor and `generate` make of the conversation."""
    inputs = inputs_of(name, asked)
    generate: Any = reference_model(name).generate
    output = generate(
        **inputs,
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=sorted(EOS_TOKEN_IDS),
        pad_token_id=EOS,
    )
    return tuple(output[0, inputs["input_ids"].shape[1] :].tolist())


def save_checkpoint(name: str, folder: Path) -> None:
    """Write all that a checkpoint has; generation ends as in `answer_of`."""
    model = whole_model(name)
    make: Any = GenerationConfig
    model.generation_config = make(eos_token_id=sorted(EOS_TOKEN_IDS), pad_token_id=EOS)
    model.save_pretrained(folder)
    write_processor(name, folder)
