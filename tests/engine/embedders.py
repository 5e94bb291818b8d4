"""Tiny models that make embeddings, with random weights, in sentence-transformers' layout."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    XLMRobertaConfig,
)

from llm_service.engine import NO_ANSWER, GenerationRequest, Prompt, unobserved
from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig
from llm_service.engine.embedding.engine import EmbeddingEngine
from llm_service.engine.loading.factory import load_engine

CLS, SEP, PAD, MASK = 256, 257, 258, 259
VOCAB_SIZE = 260
LONGEST = 128
HIDDEN = 32

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.4,
    "pad_token_id": PAD,
}
_FROM_PADDING = {"max_position_embeddings": LONGEST + PAD + 1}  # positions begin after its id
_DECODER = {"num_key_value_heads": 2, "eos_token_id": SEP, "bos_token_id": None, "head_dim": 16}

ENCODERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**_COMMON),
    "roberta": lambda: RobertaConfig(**{**_COMMON, **_FROM_PADDING}),
    "xlm-roberta": lambda: XLMRobertaConfig(**{**_COMMON, **_FROM_PADDING}),
    "mpnet": lambda: MPNetConfig(**{**_COMMON, "max_position_embeddings": LONGEST + 2}),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=VOCAB_SIZE, dim=HIDDEN, hidden_dim=64, n_layers=2, n_heads=4,
        max_position_embeddings=LONGEST, initializer_range=0.4, pad_token_id=PAD,
    ),
    "modernbert": lambda: ModernBertConfig(
        **_COMMON, local_attention=16, cls_token_id=CLS, sep_token_id=SEP, bos_token_id=CLS,
        eos_token_id=SEP,
    ),
}  # fmt: skip
DECODERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "qwen2": lambda: Qwen2Config(**{**_COMMON, **_DECODER}),
    "qwen3": lambda: Qwen3Config(**{**_COMMON, **_DECODER}),
}


def embedding_tokenizer() -> PreTrainedTokenizerFast:
    """One token is one byte; a text begins with [CLS] and ends with [SEP]."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    # Many published tokenizers pad and truncate, which must not have an effect.
    tokenizer.enable_padding(pad_id=PAD, pad_token="[PAD]", length=40)
    tokenizer.enable_truncation(30)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    )
    assert len(fast) == VOCAB_SIZE
    return fast


def save_embedder(
    folder: Path,
    kind: str = "bert",
    *,
    pooling: Mapping[str, Any] | None = None,
    modules: Sequence[str] = ("Normalize",),
    **files: Mapping[str, Any],
) -> Path:
    """Write a model. `pooling` is 1_Pooling/config.json; without it there is no modules.json.

    `modules` follow the pooling; `files` are JSON files in the folder, by name.
    """
    torch.manual_seed(0)
    model = AutoModel.from_config((ENCODERS | DECODERS)[kind]())
    model.save_pretrained(folder)
    embedding_tokenizer().save_pretrained(folder)
    if pooling is not None:
        names = ("Transformer", "Pooling", *modules)
        _write(
            folder / "modules.json",
            [
                {"type": f"sentence_transformers.models.{name}", "path": f"{i}_{name}" if i else ""}
                for i, name in enumerate(names)
            ],
        )
        _write(folder / "1_Pooling" / "config.json", pooling)
    for name, content in files.items():
        _write(folder / f"{name}.json", content)
    return folder


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def load_embedder(folder: Path, **config: Any) -> EmbeddingEngine:
    engine = load_engine(
        EngineConfig(model_id=str(folder), threads=1, device="cpu", **config),
        unobserved,
        Budget(),
    )
    assert isinstance(engine, EmbeddingEngine)
    return engine


async def embed(
    engine: EmbeddingEngine, inputs: Sequence[Sequence[int]], name: str = "request"
) -> np.ndarray[Any, Any]:
    """The embeddings [inputs, dimensions] of one request to a running engine."""
    requests = [
        GenerationRequest(f"{name}-{i}", Prompt(tuple(ids)), NO_ANSWER)
        for i, ids in enumerate(inputs)
    ]
    found = [b""] * len(requests)
    async for index, chunk in engine.submit(*requests):
        found[index] = chunk.embedding
    return np.stack([np.frombuffer(each, dtype="<f4") for each in found])


@torch.inference_mode()
def hidden_states(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """The last hidden states [tokens, width] of one input, as transformers computes them."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    states: torch.Tensor = model(input_ids=torch.tensor([list(ids)])).last_hidden_state[0]
    return states
