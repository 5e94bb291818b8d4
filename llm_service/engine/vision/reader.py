"""Turns a picture into the tokens that stand for it and the tensors that the model's encoder takes.

Owns the image part of the processor that comes with a model. It runs no model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    Idefics3Processor,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name

from llm_service.engine.control_tokens import control_tokens
from llm_service.engine.picture import MAX_PIXELS, Picture
from llm_service.errors import InvalidRequest

_TEXT_FIELDS = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"})


# SmolVLM's own makes the same of images, but needs one more package for videos.
_KINDS: dict[str, Any] = {"SmolVLMProcessor": Idefics3Processor}
_STATING_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


class ReaderUnusable(Exception):
    """Why pictures cannot be read for a model: the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A picture as the model takes it.

    `token_ids` replace the picture's placeholder. `runs` are the ranges of them at which the
    encoder's features stand, one after the other. `inputs` are arguments of `get_image_features`.
    `kinds` says of each token whether it belongs to an image, as the model's own `generate` takes
    it in its argument `kinds_field`; empty: it takes none.
    """

    token_ids: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    inputs: Mapping[str, Tensor]
    kinds_field: str = ""
    kinds: tuple[int, ...] = ()

    @property
    def num_features(self) -> int:
        return sum(end - start for start, end in self.runs)


class PictureReader:
    """Reads pictures with a model's own processor."""

    def __init__(
        self, folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        """Raises ReaderUnusable if the model in `folder` has no processor that can be used here."""
        self.processor = _processor(folder, config, tokenizer)
        self._image_token: str = self.processor.image_token
        placeholder_id = tokenizer.convert_tokens_to_ids(self._image_token)
        assert isinstance(placeholder_id, int)  # not a list, as for several tokens
        self.placeholder_id = placeholder_id
        self._feature_id = _feature_id(config)
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        if self.placeholder_id not in control_tokens(tokenizer, added).values():
            raise ReaderUnusable(f"text could spell its token for images, {self._image_token!r}")

    def read(self, picture: Picture) -> Reading:
        """Raises InvalidRequest if the model's processor refuses the picture."""
        found = self.read_all([picture])
        (token_ids,) = found["input_ids"].tolist()
        field = _kinds_field(self.processor, found)
        kinds = found[field][0].tolist() if field else ()
        runs = _runs(token_ids, self._feature_id)
        return Reading(tuple(token_ids), runs, without_text(found), field, tuple(kinds))

    def read_all(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Return all that the processor makes of `pictures` and of a text of their placeholders."""
        try:
            return dict(
                self.processor(
                    images=[_image(picture) for picture in pictures],
                    text=[self._image_token * len(pictures)],
                    return_tensors="pt",
                    add_special_tokens=False,
                )
            )
        except Exception as error:  # a processor may raise anything
            raise InvalidRequest(
                f"The model cannot read this image: {error}", param="messages"
            ) from error


def without_text(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the processor makes of images, without what it makes of text."""
    return {name: value for name, value in found.items() if name not in _TEXT_FIELDS}


def _image(picture: Picture) -> Image.Image:
    size = picture.width, picture.height
    image = Image.frombytes("RGB", size, picture.pixels)
    most = min(picture.max_pixels or MAX_PIXELS, MAX_PIXELS)
    if size[0] * size[1] <= most:
        return image
    scale = (most / (size[0] * size[1])) ** 0.5
    scaled = max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
    return image.resize(scaled, Image.Resampling.LANCZOS)


def _processor(folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> Any:
    try:
        kind = _kind(folder, config)
        if kind is None:
            raise ReaderUnusable("the installed transformers library has no processor for it")
        processor = _images_only(kind, tokenizer).from_pretrained(folder, local_files_only=True)
    except ReaderUnusable:
        raise
    except Exception as error:  # a folder can state anything
        raise ReaderUnusable(
            f"its image processor cannot be used ({type(error).__name__}: {_first_line(error)})"
        ) from error
    if not isinstance(getattr(processor, "image_token", None), str):
        raise ReaderUnusable("its processor names no token for images")
    return processor


def _kind(folder: Path, config: PreTrainedConfig) -> Any:
    """The class that the checkpoint names, as AutoProcessor looks for it, or that of its type.

    Pixtral is of LLaVA's type and has another processor.
    """
    for name in _STATING_FILES:
        file = folder / name
        stated = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if isinstance(named := stated.get("processor_class"), str):
            return _KINDS.get(named) or processor_class_from_name(named)
    return PROCESSOR_MAPPING.get(type(config), None)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _images_only(kind: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return `kind` with our tokenizer, and without parts for video and audio.

    transformers would load all of them, and those for video need torchvision.
    """

    class ImagesOnly(kind):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            attributes: list[str] = kind.get_attributes()
            return attributes

        @classmethod
        def _get_arguments_from_pretrained(cls, folder: Path, *_: Any, **__: Any) -> list[Any]:
            images = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
            parts = {"tokenizer": tokenizer, "image_processor": images}
            return [parts.get(name) for name in cls.get_attributes()]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument is None:
                return type(None)
            return super().check_argument_for_proper_class(argument_name, argument)

    return ImagesOnly


def _feature_id(config: PreTrainedConfig) -> int:
    """The id of the tokens at which features stand."""
    for name in ("image_token_id", "image_token_index"):
        if isinstance(token_id := getattr(config, name, None), int):
            return token_id
    raise ReaderUnusable("config.json names no token for images")


def _kinds_field(processor: Any, found: Mapping[str, Tensor]) -> str:
    """Return the name of the field with the kinds of tokens, which Gemma 3 calls as BERT does."""
    if not processor.return_mm_token_type_ids:
        return ""
    return next((n for n in ("mm_token_type_ids", "token_type_ids") if n in found), "")


def _runs(token_ids: Sequence[int], feature_id: int) -> tuple[tuple[int, int], ...]:
    """Return the ranges of neighbouring tokens that are `feature_id`."""
    runs: list[tuple[int, int]] = []
    for i, token_id in enumerate(token_ids):
        if token_id != feature_id:
            continue
        if runs and runs[-1][1] == i:
            runs[-1] = runs[-1][0], i + 1
        else:
            runs.append((i, i + 1))
    return tuple(runs)
