"""Reads a model's tokenizer, chat template and sampling defaults.

Owns the checks of these files, and refusals that name the file. A wrong value that is not essential
is left out with a note, so the rest of the service can rely on what remains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from llm_service.engine.conversation import Conversation
from llm_service.engine.loading.checkpoint import Checkpoint
from llm_service.engine.loading.layer_config import largest
from llm_service.engine.loading.model_files import ModelLoadError, read_json
from llm_service.engine.ranges import RANGES
from llm_service.engine.tokenization import SealedTokenizer

_SAMPLING_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_GENERATION_CONFIG = "generation_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_CANARY = ({"role": "user", "content": "Hello"},)
_MAX_TOKEN_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """All of it is checked. `notes` tell the operator what was left out."""

    tokenizer: PreTrainedTokenizerBase
    default_sampling: Mapping[str, float]
    eos_token_ids: frozenset[int]
    notes: tuple[str, ...]


def contents_of(checkpoint: Checkpoint) -> FolderContents:
    """Raises ModelLoadError if the model could not be served with these files."""
    if checkpoint.sentence is None:
        return read_contents(checkpoint.folder, checkpoint.config)
    tokenizer = _read_tokenizer(checkpoint.folder)
    vocab_size = largest(checkpoint.config, "vocab_size", 0)
    notes = _try_tokenizer(tokenizer, checkpoint.folder, vocab_size, can_chat=False)
    return FolderContents(
        tokenizer=tokenizer,
        default_sampling={},
        eos_token_ids=frozenset(),
        notes=(*checkpoint.sentence.notes, *notes),
    )


def read_contents(folder: Path, config: PreTrainedConfig) -> FolderContents:
    """Raises ModelLoadError if the model could not be served with these files."""
    tokenizer = _read_tokenizer(folder)
    if config.get_text_config() is not config:
        tokenizer.chat_template = _processor_template(folder) or tokenizer.chat_template
    file = folder / _GENERATION_CONFIG
    stated = read_json(file) if file.is_file() else {}
    sampling, notes = _default_sampling(stated)
    eos = _token_ids(stated.get("eos_token_id"), _GENERATION_CONFIG)
    for part in (config, config.get_text_config()):
        eos |= _token_ids(getattr(part, "eos_token_id", None), "config.json")
    eos |= _token_ids(tokenizer.eos_token_id, "tokenizer_config.json")
    notes += _try_tokenizer(tokenizer, folder, largest(config, "vocab_size", 0))
    return FolderContents(
        tokenizer=tokenizer, default_sampling=sampling, eos_token_ids=eos, notes=tuple(notes)
    )


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    # Without one of these, transformers would make an empty tokenizer.
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelLoadError(f"{folder} holds no tokenizer ({' or '.join(_TOKENIZER_FILES)}).")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the tokenizers library raises plain Exception
        _read_if_json(folder / "tokenizer.json")
        raise ModelLoadError(
            f"The tokenizer in {folder} cannot be used: {_words(error)}."
        ) from error
    if not tokenizer.is_fast:
        raise ModelLoadError(f"The model in {folder} has no tokenizer.json, which is needed.")
    return tokenizer


def _processor_template(folder: Path) -> str | None:
    """The chat template of the model's processor, which has a place for images.

    Many checkpoints have it in a file that transformers' tokenizers do not read.
    """
    for name in ("chat_template.json", "processor_config.json"):
        file = folder / name
        template = read_json(file).get("chat_template") if file.is_file() else None
        if isinstance(template, str) and template:
            return template
    return None


def _read_if_json(file: Path) -> None:
    """Raises ModelLoadError, which names the problem better, if `file` holds no JSON object."""
    if file.is_file():
        read_json(file)


def _default_sampling(stated: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """The values that lie within the API's ranges, and a note about each of the others."""
    sampling: dict[str, float] = {}
    notes = []
    for name in _SAMPLING_DEFAULTS:
        value = stated.get(name)
        if value is None:
            continue
        if RANGES[name].holds(value):
            sampling[name] = value
        else:
            notes.append(_ignored(name, value, RANGES[name].words))
    does_sample = stated.get("do_sample")
    if does_sample is False:
        sampling["temperature"] = 0.0
    elif does_sample not in (None, True):
        notes.append(_ignored("do_sample", does_sample, "true or false"))
    return sampling, notes


def _ignored(name: str, value: Any, words: str) -> str:
    return f"ignores {name} in {_GENERATION_CONFIG}: it is {repr(value)[:40]}, but must be {words}"


def _token_ids(stated: Any, file: str) -> frozenset[int]:
    """One token id, a list of them, or none."""
    ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
    for token_id in ids:
        is_whole = isinstance(token_id, int) and not isinstance(token_id, bool)
        if not is_whole or not -1 <= token_id <= _MAX_TOKEN_ID:
            raise ModelLoadError(
                f"eos_token_id in {file} is {repr(stated)[:40]}, but must be a token id or a list"
                " of token ids."
            )
    return frozenset(ids) - {-1}  # some files say -1 for none


def _try_tokenizer(
    tokenizer: PreTrainedTokenizerBase, folder: Path, vocab_size: int, *, can_chat: bool = True
) -> list[str]:
    """Encode a text and a message. Raises ModelLoadError if not even the text can be encoded."""
    try:
        sealed = SealedTokenizer(tokenizer)
        sealed.encode_text("Hello")
    except Exception as error:  # a tokenizer may raise anything
        raise ModelLoadError(
            f"The tokenizer in {folder} cannot be used: {_words(error)}."
        ) from error
    notes = []
    if (count := max(tokenizer.get_vocab().values(), default=0) + 1) > vocab_size:
        notes.append(
            f"knows {vocab_size} tokens, but its tokenizer has {count}: prompts with the others are"
            " refused"
        )
    if can_chat and sealed.has_chat_template and (reason := _why_no_chat(sealed)) is not None:
        notes.append(f"cannot chat, only complete text: {reason}")
    return notes


def _why_no_chat(sealed: SealedTokenizer) -> str | None:
    try:
        sealed.encode_chat(Conversation(_CANARY))
    except Exception as error:  # templates are programs
        return str(error).rstrip(".")
    return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(".")
