"""Makes checkpoints of random weights with the shapes of real models, offline and reproducible.

The speed of a model depends only on its shapes, so these checkpoints are as fast as the real ones.
The folders have the format of Hugging Face:
config.json, model.safetensors in bfloat16, and a tokenizer of the
model's full vocabulary (vocabulary.py). `python -m benchmarks.checkpoints qwen2.5-0.5b`.
"""

import argparse
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from benchmarks.vocabulary import SPECIAL, build_tokenizer

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "checkpoints"
CHAT_TEMPLATE = ROOT / "models" / "pocket" / "chat_template.jinja"
SEED = 20
_STD = 0.02
_SILENT = ("o_proj.weight", "down_proj.weight")  # the layers' outputs go through these


def _qwen2(
    vocab_size: int,
    hidden_size: int,
    intermediate_size: int,
    *,
    layers: int,
    heads: int,
    kv_heads: int,
    context: int = 32_768,
    is_tied: bool = True,
) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=is_tied,
    )


CONFIGS: dict[str, PreTrainedConfig] = {
    # Qwen/Qwen2.5-0.5B-Instruct: 494 M parameters, 136 M of them the tied embeddings.
    "qwen2.5-0.5b": _qwen2(151_936, 896, 4864, layers=24, heads=14, kv_heads=2),
    # Qwen/Qwen2.5-1.5B-Instruct: 1,544 M parameters.
    "qwen2.5-1.5b": _qwen2(151_936, 1536, 8960, layers=28, heads=12, kv_heads=2),
    # Qwen/Qwen2.5-7B-Instruct: 7,616 M parameters, 15 GB of them on disk.
    "qwen2.5-7b": _qwen2(152_064, 3584, 18_944, layers=28, heads=28, kv_heads=4, is_tied=False),
    # Similar to KBlueLeaf/TIPO-200M: a Llama of 203 M parameters with untied head and without
    # grouped heads. The shape is not verified against its model card.
    "tipo-200m": LlamaConfig(
        vocab_size=32_013,
        hidden_size=768,
        intermediate_size=2304,
        num_hidden_layers=20,
        num_attention_heads=12,
        num_key_value_heads=12,
        max_position_embeddings=4096,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
    ),
    # Not a real model: a miniature, to test the benchmark itself in seconds.
    "tiny": _qwen2(4096, 128, 384, layers=2, heads=2, kv_heads=1, context=4096),
}
# The shape of the first model, with layers that contribute almost nothing, so that every answer
# repeats its last token: the speed of copying text when all guesses are right.
CONFIGS["qwen2.5-0.5b-copying"] = CONFIGS["qwen2.5-0.5b"]


def make(name: str, folder: Path = FOLDER) -> Path:
    """Return the checkpoint's folder, after writing it if it does not exist."""
    target = folder / name
    if (target / "config.json").exists():
        return target
    draft = folder / f"{name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    config = CONFIGS[name]
    _save_tokenizer(build_tokenizer(config.vocab_size), config, draft)
    silence = 1e-4 if name.endswith("-copying") else 1.0
    save_file(
        dict(weights(config, silence)), draft / "model.safetensors", metadata={"format": "pt"}
    )
    (draft / "config.json").write_text(json.dumps(_described(config), indent=2) + "\n")
    draft.rename(target)
    return target


def weights(config: PreTrainedConfig, silence: float = 1.0) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor with its name, which is also its seed; norms are 1.

    `silence` scales what the layers add to the residual stream.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            yield name, torch.ones(parameter.shape, dtype=torch.bfloat16)
            continue
        generator = torch.Generator().manual_seed(SEED + zlib.crc32(name.encode()))
        values = torch.empty(parameter.shape, dtype=torch.float32)
        std = _STD * silence if name.endswith(_SILENT) else _STD
        yield name, values.normal_(0.0, std, generator=generator).to(torch.bfloat16)


def _described(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the config as `save_pretrained` does, with two fields for older readers."""
    described: dict[str, Any] = config.to_diff_dict() | {
        "architectures": [
            "LlamaForCausalLM" if config.model_type == "llama" else "Qwen2ForCausalLM"
        ],
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "rope_theta": config.rope_parameters["rope_theta"],
        "tie_word_embeddings": config.tie_word_embeddings,
    }
    end = config.vocab_size - len(SPECIAL)
    described |= {"bos_token_id": None, "pad_token_id": end, "eos_token_id": end + 2}
    return described


def _save_tokenizer(tokenizer: Tokenizer, config: PreTrainedConfig, folder: Path) -> None:
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[0],
        model_max_length=config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    wrapped.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    described = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    # Some readers look for the template only here.
    described["chat_template"] = wrapped.chat_template
    path.write_text(json.dumps(described, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONFIGS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    print(make(options.name, options.folder))


if __name__ == "__main__":
    main()
