"""Reads config.json, and makes of it a model without weights; or refuses in words.

Code from a model's folder is never run.
"""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
)

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.files import CONFIG_KEY, Facts, FilesUnusable
from llm_service.engine.loading.model_files import ModelLoadError, no_config


def read_config(folder: Path) -> PreTrainedConfig:
    if not (folder / "config.json").is_file():
        raise ModelLoadError(no_config(folder))
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        config.get_text_config()
    except Exception as error:  # whatever a strange configuration makes of it
        if "trust_remote_code" in str(error):
            raise ModelLoadError(
                f"The model in {folder} needs code of its own, and such code is never run here."
            ) from error
        raise ModelLoadError(f"The config.json in {folder} cannot be used: {error}") from error
    if config.is_encoder_decoder:
        raise ModelLoadError(
            f"{folder} holds an encoder-decoder model ({config.model_type});"
            " only decoder-only text models are served."
        )
    model_class(config)
    return config


def model_class(
    config: PreTrainedConfig,
) -> type[AutoModelForCausalLM] | type[AutoModelForImageTextToText]:
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    raise ModelLoadError(
        f"The architecture {config.model_type!r} does not generate text in the installed"
        " transformers library."
    )


def stored_dtype(config: PreTrainedConfig) -> torch.dtype:
    """The type of the weights in their files, float32 where the configuration does not state it."""
    stated = getattr(config, "dtype", None)
    return stated if isinstance(stated, torch.dtype) else torch.float32


def shell_of(model_config: PreTrainedConfig, folder: Path) -> PreTrainedModel:
    """The model without its weights."""
    try:
        with torch.device("meta"):
            shell: PreTrainedModel = model_class(model_config).from_config(  # type: ignore[no-untyped-call]
                model_config, trust_remote_code=False
            )
    except Exception as error:  # whatever a strange configuration makes of it
        raise ModelLoadError(f"The config.json in {folder} cannot be used: {error}") from error
    return shell


def packed_facts(
    config: EngineConfig, model_config: PreTrainedConfig, folder: Path
) -> Facts | None:
    stated = getattr(model_config, CONFIG_KEY, None)
    if stated is None:
        return None
    try:
        facts = Facts.of_config(stated)
    except FilesUnusable as error:
        raise ModelLoadError(f"{folder} cannot be served: {error}.") from error
    if config.quantization not in ("auto", facts.quantization):
        raise ModelLoadError(
            f"LLM_QUANTIZATION={config.quantization}, but {folder} holds weights in"
            f" {facts.quantization}: use auto, or the model that they were made from."
        )
    if config.engine == "sequential" or config.device == "cuda":
        raise ModelLoadError(
            f"{folder} holds weights in {facts.quantization}, which the batched engine alone reads,"
            " on a CPU; use auto, or the model that they were made from."
        )
    return facts
