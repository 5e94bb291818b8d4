"""Owns the published files: a checkpoint becomes what `from_pretrained` reads, in bfloat16."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3VLForConditionalGeneration,
)

from models.pocket import network as pocket
from models.pocket.tokenizer import SPECIAL as POCKET_SPECIAL
from models.pocket_vision import batches, network
from models.pocket_vision.train import CHECKPOINT

PUBLISHED = Path(__file__).parent.parent / "pocket-vision"


def load_checkpoint(path: Path) -> Any:
    model: Any = Qwen3VLForConditionalGeneration(network.config())
    model.load_state_dict(torch.load(path, map_location="cpu")["model"])
    return model.eval()


def generation() -> GenerationConfig:
    return GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=[pocket.IM_END, pocket.END_OF_TEXT],
        pad_token_id=pocket.END_OF_TEXT,
        do_sample=True,
        temperature=0.1,
        max_new_tokens=128,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=batches.tokenizer(),
        eos_token=POCKET_SPECIAL[2],
        pad_token=POCKET_SPECIAL[0],
        model_max_length=network.MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = (Path(__file__).parent / "chat_template.jinja").read_text()
    return wrapped


def export(path: Path, folder: Path) -> None:
    """Write everything into a draft folder first and move file by file: readers see whole files."""
    model = load_checkpoint(path).bfloat16()
    model.config.dtype = torch.bfloat16
    model.generation_config = generation()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        model.save_pretrained(draft)
        tokenizer().save_pretrained(draft)
        network.image_processor().save_pretrained(draft)
        for file in Path(draft).iterdir():
            file.chmod(0o644)
            file.replace(folder / file.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Export a checkpoint into models/pocket-vision.")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    export(parser.parse_args().checkpoint, PUBLISHED)
