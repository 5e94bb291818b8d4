"""Finds a model's folder by a bundled name, a local path or a hub id, and checks its files.

Owns names and downloads. It loads nothing into memory. Only safetensors weights are used; pickled
ones are never downloaded or read.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is httpx's
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open
from tqdm.asyncio import tqdm_asyncio

Progress = Callable[[str], None]

_PACKAGE = Path(__file__).parents[2]
# In the source tree models/ lies beside the package, in a wheel inside it.
_BUNDLE_FOLDERS = (_PACKAGE.parent / "models", _PACKAGE / "models")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_TIMEOUT_SECONDS = 10.0
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
_WEIGHT_FILES = ("*.safetensors",)
# Other formats of the same weights, and Mistral's second copy of them.
_NOT_NEEDED = ("*/*", "consolidated*")
_NO_GGUF = (
    "this service reads safetensors only: use the folder or hub id of the model that it was made"
    " from"
)
_INDEX = "model.safetensors.index.json"
# The files of a folder that we read, or that transformers reads if they are there.
_READ_SUFFIXES = frozenset({".json", ".jinja", ".txt", ".model", ".safetensors"})
_READ_FOLDERS = ("additional_chat_templates",)
_JSON_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    _INDEX,
)
_SECONDS_BETWEEN_LINES = 2.0


class ModelLoadError(Exception):
    """Why a model could not be served, in a sentence that an operator can act on."""


def bundled_models() -> dict[str, Path]:
    """The models that come with the service, by the id they have in the API."""
    return {
        path.parent.name: path.parent
        for folder in _BUNDLE_FOLDERS
        for path in sorted(folder.glob("*/config.json"))
    }


def find(name: str) -> tuple[str, Path] | None:
    """The id in the API and the folder of a bundled or local model; None: `name` is a hub id.

    Raises ModelLoadError if it is none of these.
    """
    bundled = bundled_models()
    if name in bundled:
        return name, bundled[name]
    folder = Path(name).expanduser()
    if name.endswith(".gguf"):
        raise ModelLoadError(f"LLM_MODEL_ID={name!r} is a GGUF file; {_NO_GGUF}.")
    if name and folder.is_dir():
        return folder.resolve().name, folder
    if folder.exists() or not _HUB_ID.fullmatch(name):
        raise ModelLoadError(
            f"LLM_MODEL_ID={name!r} is no bundled model ({', '.join(bundled) or 'none'}),"
            " no folder on this machine and no hub id (owner/name)."
        )
    return None


def download_small_files(model_id: str, progress: Progress) -> Path:
    """Download all but the weights; returns the folder."""
    return _download(model_id, _SMALL_FILES, progress)


def download_weights(model_id: str, progress: Progress) -> Path:
    """Download all files; returns the folder."""
    return _download(model_id, (*_SMALL_FILES, *_WEIGHT_FILES), progress)


def download_folders(model_id: str, folders: Sequence[str], progress: Progress) -> Path:
    """Download configurations, tokenizers and weights in `folders` of the hub's repository."""
    patterns = [
        f"{folder}/{file}" for folder in folders for file in (*_SMALL_FILES, *_WEIGHT_FILES)
    ]
    return _download(model_id, patterns, progress, ignored=())


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises ModelLoadError, naming the file, if it holds none."""
    try:
        text = file.read_text(encoding="utf-8")
        if text.startswith("\ufeff"):
            raise ModelLoadError(
                f"{file} begins with a byte order mark: save it as UTF-8 without one."
            )
        stated = json.loads(text)
    except OSError as error:
        raise ModelLoadError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # broken UTF-8 is a ValueError too
        raise ModelLoadError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(stated, dict):
        raise ModelLoadError(
            f"{file} must hold a JSON object, but holds a {type(stated).__name__}."
        )
    return stated


def refuse_malformed(folder: Path) -> None:
    """Check what the loader and transformers read of `folder` beside the weights.

    Raises ModelLoadError if a file lies outside of it or does not hold the JSON that it should.
    """
    for entry in sorted(folder.iterdir()):
        if entry.suffix in _READ_SUFFIXES or entry.name in _READ_FOLDERS:
            refuse_outside(folder, entry)
            if entry.exists() and not (entry.is_file() or entry.is_dir()):
                raise ModelLoadError(f"{entry} is not a regular file.")  # a pipe would never end
    for name in _READ_FOLDERS:
        for entry in sorted((folder / name).glob("*.jinja")):
            refuse_outside(folder, entry)
    for name in _JSON_FILES:
        if (folder / name).exists():
            read_json(folder / name)


def refuse_outside(folder: Path, file: Path) -> None:
    """Raises ModelLoadError if `file` leads out of `folder`, by its name or as a link.

    A snapshot in the hub's cache consists of links to the blobs of that cache.
    """
    roots = [folder.resolve()]
    snapshots, repository = roots[0].parent, roots[0].parent.parent
    if snapshots.name == "snapshots" and repository.name.startswith("models--"):
        roots += [repository / "blobs", repository.parent / "blobs"]
    try:
        target = file.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a null character
        raise ModelLoadError(f"{str(file)!r} cannot be followed: {error}.") from error
    if not any(target.is_relative_to(root) for root in roots):
        raise ModelLoadError(
            f"{file} leads out of the model's folder, to {target}: files of a model must lie in its"
            " folder, so copy it there."
        )


def has_weights(folder: Path) -> bool:
    """Whether all weight files are there."""
    try:
        return bool(weight_files(folder))
    except ModelLoadError:
        return False


def weight_files(folder: Path) -> list[Path]:
    """The one safetensors file, or all that the index names. Raises ModelLoadError."""
    if (folder / "model.safetensors").is_file():
        names = ["model.safetensors"]
    elif (folder / _INDEX).is_file():
        names = _indexed(folder)
    else:
        raise ModelLoadError(_no_weights(folder))
    for name in names:
        refuse_outside(folder, folder / name)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelLoadError(
            f"{folder} lacks {len(missing)} of the {len(names)} weight files that its index"
            f" names: {', '.join(missing[:3])}."
        )
    return [folder / name for name in names]


def _indexed(folder: Path) -> list[str]:
    """The files that the index names."""
    weight_map = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelLoadError(f"{folder / _INDEX} has no weight_map, which says where weights are.")
    names = list(weight_map.values())
    if strange := [name for name in names if not isinstance(name, str)]:
        raise ModelLoadError(
            f"{folder / _INDEX} names {strange[0]!r} as a file of weights: a name is a string."
        )
    return sorted(set(names))


def refuse_unless_whole(file: Path) -> None:
    """Raises ModelLoadError if `file` is cut off or is not a safetensors file at all."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f"{file} is not a whole safetensors file: {error}") from error


def no_config(folder: Path) -> str:
    """Why a folder without config.json is no model."""
    if any(folder.glob("*.gguf")):
        return _no_weights(folder)
    return f"{folder} holds no model: there is no config.json."


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.gguf")):
        return f"{folder} holds GGUF weights; {_NO_GGUF}."
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        return (
            f"{folder} holds pickled weights, which can run code when they are read;"
            " convert them to safetensors."
        )
    return f"{folder} holds no weights (no model.safetensors and no index of its parts)."


def _download(
    model_id: str,
    patterns: Sequence[str],
    progress: Progress,
    *,
    ignored: Sequence[str] = _NOT_NEEDED,
) -> Path:
    """The snapshot of `model_id` in the local cache, completed from the hub if it answers."""
    unreachable = _why_unreachable(model_id)
    try:
        return Path(
            snapshot_download(
                model_id,
                allow_patterns=[*patterns],
                ignore_patterns=[*ignored],
                etag_timeout=_HUB_TIMEOUT_SECONDS,
                local_files_only=unreachable is not None,
                tqdm_class=_progress_bar(model_id, progress),
            )
        )
    except (LocalEntryNotFoundError, IncompleteSnapshotError) as error:
        raise ModelLoadError(
            f"{model_id} is not complete in the local cache, and the hub cannot be reached"
            f" ({unreachable or error})."
        ) from error
    except (HTTPError, OSError) as error:
        raise ModelLoadError(f"The download of {model_id} failed: {error}") from error


def _why_unreachable(model_id: str) -> str | None:
    """None if the hub offers the model. Raises ModelLoadError if it refuses the model."""
    try:
        HfApi().model_info(model_id, timeout=_HUB_TIMEOUT_SECONDS)
    except GatedRepoError as error:
        raise ModelLoadError(
            f"{model_id} is gated: accept its terms on its page, then set HF_TOKEN."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelLoadError(
            f"The hub has no model {model_id} (or it is private and HF_TOKEN is not set)."
            f" Bundled models: {', '.join(bundled_models()) or 'none'}."
        ) from error
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    except (HfHubHTTPError, HTTPError, OSError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _progress_bar(model_id: str, progress: Progress) -> "type[tqdm_asyncio[Any]]":
    """A tqdm that reports a line every few seconds instead of drawing a bar."""
    lock = threading.Lock()
    last_said = time.monotonic()

    class Lines(tqdm_asyncio):  # type: ignore[type-arg]  # generic only in its stubs
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal last_said
            with lock:
                self.n += n or 0
                now = time.monotonic()
                if not self._counts_bytes or now - last_said < _SECONDS_BETWEEN_LINES:
                    return None
                last_said = now
            progress(
                f"downloading {model_id}: {int(self.n) >> 20} of {int(self.total or 0) >> 20} MiB"
            )
            return None

    return Lines
