"""What a model's folder says without its weights: configuration, modules and longest context.

Owns the reading of config.json, or a refusal that says what is wrong with it. Code from a model's
folder is never run. It knows nothing of this machine and its settings (`plan`).
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_MAPPING,
    MODEL_MAPPING_NAMES,
)

from llm_service.engine.kernels.files import CONFIG_KEY, Facts, FilesUnusable
from llm_service.engine.loading import model_files, sentence
from llm_service.engine.loading.compatibility import why_shell_not_batchable
from llm_service.engine.loading.language_part import language_part
from llm_service.engine.loading.layer_config import largest
from llm_service.engine.loading.model_files import ModelLoadError, Progress
from llm_service.engine.loading.sentence import SentenceLayout

CONTEXT_WHEN_UNSTATED = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model that was found. The weights of one on the hub may not be downloaded yet."""

    model_id: str  # its name in the API
    folder: Path
    is_on_hub: bool
    config: PreTrainedConfig
    shell: PreTrainedModel  # all of its modules on torch's meta device: shapes, no numbers
    packed: Facts | None  # about weights that `llm-service quantize` wrote; None: any others
    max_context: int  # the longest that the model is made for, in tokens
    sequential: str | None  # why it cannot be batched, as far as that is known without weights
    sentence: SentenceLayout | None = None  # how it makes embeddings; None: it generates text

    @property
    def is_in_subfolder(self) -> bool:
        """Whether `folder` lies within that of the model's name."""
        return self.sentence is not None and bool(self.sentence.transformer)

    @property
    def num_parameters(self) -> int:
        return self.packed.num_parameters if self.packed else self.shell.num_parameters()

    @property
    def stored_dtype(self) -> torch.dtype:
        """The type of the weights in their files; float32 if config.json does not state it."""
        stated = getattr(self.config, "dtype", None)
        return stated if isinstance(stated, torch.dtype) else torch.float32


def examine(
    name: str, progress: Progress, *, traces: bool = False, embeds: bool = False
) -> Checkpoint:
    """Find the model `name` and read all but its weights. Raises ModelLoadError.

    A model that is made for embeddings makes these; with `embeds`, so does any other.
    With `traces`, run its modules without weights to see whether they can be batched. That takes
    some 20 ms for each layer; loading leaves it out, because it tries the weights anyway.
    """
    found = model_files.find(name)
    model_id, folder = found or (name, model_files.download_small_files(name, progress))
    model_files.refuse_malformed(folder)
    if (folder / sentence.MODULES).is_file():
        return _examine_sentence_folder(model_id, folder, progress, is_on_hub=found is None)
    config = read_config(folder)
    if embeds or _is_encoder(config):
        return _encoder(model_id, folder, config, None, is_on_hub=found is None)
    model_class(config)
    try:
        packed, shell = _packed_facts(config), _shell_of(config)
        return Checkpoint(
            model_id=model_id,
            folder=folder,
            is_on_hub=found is None,
            config=config,
            shell=shell,
            packed=packed,
            max_context=_longest_context(config, folder),
            # Packed weights were written by the batched engine, after a trial.
            sequential=None
            if packed
            else why_shell_not_batchable(language_part(shell), traces=traces),
        )
    except ModelLoadError:
        raise
    except FilesUnusable as error:
        raise ModelLoadError(f"{folder} cannot be served: {error}.") from error
    except Exception as error:  # a configuration can state anything
        raise config_unusable(folder, error) from error


def _examine_sentence_folder(
    model_id: str, folder: Path, progress: Progress, *, is_on_hub: bool
) -> Checkpoint:
    """Examine a folder in the layout of sentence-transformers."""
    if is_on_hub:
        sentence.download_parts(model_id, folder, progress)
    layout = sentence.read_layout(folder)
    if layout.transformer:
        folder = folder / layout.transformer
        model_files.refuse_malformed(folder)
    return _encoder(model_id, folder, read_config(folder), layout, is_on_hub=is_on_hub)


def _encoder(
    model_id: str,
    folder: Path,
    config: PreTrainedConfig,
    layout: SentenceLayout | None,
    *,
    is_on_hub: bool,
) -> Checkpoint:
    if type(config) not in MODEL_MAPPING:
        raise ModelLoadError(
            f"The architecture {config.model_type!r} has no hidden states for embeddings in the"
            " installed transformers library."
        )
    try:
        if getattr(config, CONFIG_KEY, None) is not None:
            raise ModelLoadError(
                f"{folder} holds weights that `llm-service quantize` wrote, which cannot make"
                " embeddings; use the model that they were made from."
            )
        if config.get_text_config() is not config:
            raise ModelLoadError(f"{folder} holds a model that takes more than text.")
        with torch.device("meta"):
            shell: PreTrainedModel = AutoModel.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=False
            )
        remove_pooler(shell)
        shell.eval()  # type: ignore[no-untyped-call]
        if layout is None:
            layout = sentence.assumed_layout(is_causal=_is_causal(shell))
        sentence.refuse_wrong_widths(layout, config.hidden_size)
        return Checkpoint(
            model_id=model_id,
            folder=folder,
            is_on_hub=is_on_hub,
            config=config,
            shell=shell,
            packed=None,
            max_context=_longest_input(shell, folder, layout),
            sequential=None,
            sentence=layout,
        )
    except ModelLoadError:
        raise
    except Exception as error:  # a configuration can state anything
        raise config_unusable(folder, error) from error


def remove_pooler(model: PreTrainedModel) -> None:
    """Drop a layer that many encoders put on the first token: embeddings are pooled before it.

    Many checkpoints do not have its weights.
    """
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        parts: Any = model
        parts.pooler = None


def _is_encoder(config: PreTrainedConfig) -> bool:
    """Whether config.json names the bare model, or one that fills gaps, of an encoder."""
    kind = config.model_type
    fills_gaps = MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(kind)
    generates = (
        type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
        or type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    )
    if generates and fills_gaps is None:
        return False
    bare = MODEL_MAPPING_NAMES.get(kind, ())
    names = {*([bare] if isinstance(bare, str) else bare), fills_gaps} - {None}
    stated = getattr(config, "architectures", None) or ()
    return bool(stated) and names.issuperset(stated)


def _is_causal(shell: PreTrainedModel) -> bool:
    """Whether its attention hides later tokens, so that only the last one has seen all."""
    return any(getattr(module, "is_causal", False) is True for module in shell.modules())


def _longest_input(shell: PreTrainedModel, folder: Path, layout: SentenceLayout) -> int:
    """In tokens: what the model can read, and at most what it was trained for."""
    longest = _longest_context(shell.config, folder)
    for name, module in shell.named_modules():
        # Some encoders count positions from the padding token's id.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            longest = min(longest, module.num_embeddings - first)
    return min(longest, layout.max_tokens or longest)


def config_unusable(folder: Path, error: Exception) -> ModelLoadError:
    reason = f"{type(error).__name__}: {error}".rstrip(".")
    return ModelLoadError(f"The config.json in {folder} cannot be used: {reason}.")


def read_config(folder: Path) -> PreTrainedConfig:
    """Raises ModelLoadError unless the folder states a model that is no encoder-decoder."""
    if not (folder / "config.json").is_file():
        raise ModelLoadError(model_files.no_config(folder))
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        config.get_text_config()
    except Exception as error:  # a configuration can state anything
        if "trust_remote_code" in str(error):
            raise ModelLoadError(
                f"The model in {folder} needs Python code from its own folder, and such code is"
                " never run here."
            ) from error
        raise config_unusable(folder, error) from error
    if config.is_encoder_decoder:
        raise ModelLoadError(
            f"{folder} holds an encoder-decoder model ({config.model_type});"
            " only models that are one or the other are served."
        )
    return config


def model_class(
    config: PreTrainedConfig,
) -> type[AutoModelForCausalLM] | type[AutoModelForImageTextToText]:
    # Some models that see have a class for text alone as well; the checkpoint says what it holds.
    seeing: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.get(type(config), None)
    stated = getattr(config, "architectures", None) or ()
    is_stated = seeing is not None and seeing.__name__ in stated
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not is_stated:
        return AutoModelForCausalLM
    if seeing is not None:
        return AutoModelForImageTextToText
    raise ModelLoadError(
        f"The architecture {config.model_type!r} does not generate text in the installed"
        " transformers library."
    )


def _shell_of(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        shell: PreTrainedModel = model_class(config).from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=False
        )
    return shell.eval()  # type: ignore[no-untyped-call,no-any-return]


def _packed_facts(config: PreTrainedConfig) -> Facts | None:
    stated = getattr(config, CONFIG_KEY, None)
    return None if stated is None else Facts.of_config(stated)


def _longest_context(config: PreTrainedConfig, folder: Path) -> int:
    """In tokens, as config.json states it, or else the tokenizer's configuration."""
    file = folder / "tokenizer_config.json"
    stated = model_files.read_json(file).get("model_max_length") if file.is_file() else None
    # transformers writes an astronomical number for a tokenizer without a length
    unstated = CONTEXT_WHEN_UNSTATED
    if isinstance(stated, int) and 0 < stated < 10**9:
        unstated = stated
    return largest(config, "max_position_embeddings", unstated)
