"""Owns the published files: a checkpoint becomes what `from_pretrained` reads, in bfloat16."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen2ForCausalLM

from models.pocket import network, tokenizer
from models.pocket.train import CHECKPOINT

FILES = ("config.json", "generation_config.json", "model.safetensors")


def generation() -> GenerationConfig:
    return GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=[network.IM_END, network.END_OF_TEXT],
        pad_token_id=network.END_OF_TEXT,
        do_sample=True,
        temperature=0.3,
        top_p=0.9,
        top_k=20,
        max_new_tokens=256,
    )


def load_checkpoint(path: Path) -> Qwen2ForCausalLM:
    model = Qwen2ForCausalLM(network.config())
    if path.exists():
        model.load_state_dict(torch.load(path, map_location="cpu")["model"])
    return model


def export(path: Path, folder: Path) -> None:
    """Write everything into a draft folder first and move file by file: readers see whole files."""
    model = load_checkpoint(path).bfloat16()
    model.config.dtype = torch.bfloat16
    model.generation_config = generation()
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        model.save_pretrained(draft)
        _describe(Path(draft) / "config.json")
        for name in FILES:
            (Path(draft) / name).chmod(0o644)
            (Path(draft) / name).replace(folder / name)


def _describe(path: Path) -> None:
    """Older readers look for these two names."""
    described = json.loads(path.read_text())
    described["torch_dtype"] = "bfloat16"
    described["rope_theta"] = described["rope_parameters"]["rope_theta"]
    path.write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Export a checkpoint into this folder.")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    export(parser.parse_args().checkpoint, tokenizer.FOLDER)
