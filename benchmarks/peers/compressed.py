"""The checkpoint in 8-bit weights and activations, as the compressed-tensors format has it.

Weights: a scale per output channel. Activations: a scale per token, found while running. The
head and the embeddings stay as they are, as in the checkpoints that vLLM's users download.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_SCHEME = {
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "int",
                "strategy": "channel",
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
    "format": "int-quantized",
    "ignore": ["lm_head"],
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
}


def write_w8a8(checkpoint: Path) -> Path:
    """The folder beside the checkpoint's files that holds it, written first where it is not."""
    target = checkpoint / "w8a8"
    if target.exists():
        return target
    draft = checkpoint / "w8a8.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    tensors = load_file(checkpoint / "model.safetensors")
    quantized = dict(_quantized(tensors))
    save_file(quantized, draft / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((checkpoint / "config.json").read_text())
    config["quantization_config"] = _SCHEME
    (draft / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for path in checkpoint.glob("*token*.json"):
        shutil.copy(path, draft)
    return draft.rename(target)


def _quantized(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in tensors.items():
        if not name.endswith("proj.weight"):
            yield name, tensor
            continue
        scale = tensor.float().abs().amax(dim=1, keepdim=True) / 127
        yield name, (tensor.float() / scale).round().to(torch.int8)
        yield f"{name}_scale", scale
