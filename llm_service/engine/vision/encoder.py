"""Computes the features of a picture by the model's own encoder, and where a prompt's tokens stand.

Owns the calls of the whole model's methods. It never lets the model keep anything: between two
calls, requests of others may come.
"""

import inspect
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llm_service.engine.prompt import Positions


@dataclass(frozen=True, slots=True)
class Features:
    """What stands for a picture: tensors [num_tokens, hidden_size], see `Attachment`."""

    embeddings: Tensor
    deepstack: tuple[Tensor, ...] = ()

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.embeddings, *self.deepstack))


class PictureEncoder:
    """The part of a model that sees."""

    def __init__(self, model: Any) -> None:
        """`model` is the whole model, which has `get_image_features`."""
        self._model = model
        self._names = frozenset(inspect.signature(self._model.get_image_features).parameters)
        self._rope_index: Any = getattr(model.base_model, "get_rope_index", None)

    @torch.inference_mode()
    def features(self, inputs: Mapping[str, Tensor], num_tokens: int) -> Features:
        """Return the features of one picture. Raises RuntimeError if there are not `num_tokens`."""
        taken = {
            name: value.to(self._model.device)
            for name, value in inputs.items()
            if name in self._names
        }
        output = self._model.get_image_features(**taken, return_dict=True)
        embeddings = _joined(output.pooler_output)
        deepstack = tuple(map(_joined, getattr(output, "deepstack_features", None) or ()))
        if {len(each) for each in (embeddings, *deepstack)} != {num_tokens}:
            raise RuntimeError(f"{len(embeddings)} features for {num_tokens} tokens of a picture")
        return Features(embeddings, deepstack)

    @property
    def has_axes(self) -> bool:
        """Whether positions have several axes."""
        return self._rope_index is not None

    def positions(
        self,
        token_ids: Sequence[int],
        runs: Sequence[tuple[int, int]],
        inputs: Sequence[Mapping[str, Tensor]],
    ) -> Positions | None:
        """Return where the tokens of a prompt stand; None: token i stands at position i.

        Features stand at `runs` of the prompt, and `inputs` are those of its pictures, in order.
        """
        if self._rope_index is None:
            return None
        kinds = torch.zeros(1, len(token_ids), dtype=torch.int)
        for start, end in runs:
            kinds[0, start:end] = 1  # an image
        # It returns the shift, too, and keeps nothing; `forward` would keep it in the model.
        axes, shifts = self._rope_index(
            input_ids=torch.tensor([list(token_ids)]),
            mm_token_type_ids=kinds,
            image_grid_thw=torch.cat([each["image_grid_thw"] for each in inputs]),
        )
        rows = (array("q", axis) for axis in axes[:, 0].tolist())
        return Positions(tuple(rows), int(shifts.item()))


def _joined(features: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the features of all tiles of a picture as [num_tokens, hidden_size]."""
    parts = [features] if isinstance(features, Tensor) else list(features)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
