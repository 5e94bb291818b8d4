"""Runs a model over a batch of inputs. It knows nothing of requests."""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm_service.engine.embedding.head import EmbeddingHead


class Encoder:
    """Computes the embeddings of a batch with one forward pass."""

    def __init__(self, model: PreTrainedModel, head: EmbeddingHead) -> None:
        self._model: Any = model
        self._head = head
        stated = getattr(model.config, "pad_token_id", None)
        self._pad_token_id = stated if isinstance(stated, int) and stated >= 0 else 0
        takes_cache = "use_cache" in inspect.signature(model.forward).parameters
        self._options = {"use_cache": False} if takes_cache else {}

    @torch.inference_mode()
    def __call__(self, inputs: list[tuple[int, ...]]) -> Tensor:
        """Return embeddings [inputs, dimensions] in float32, on the CPU.

        Shorter inputs are padded at their end, where a mask hides the padding.
        """
        device = self._model.device
        lengths = [len(ids) for ids in inputs]
        longest = max(lengths)
        rows = [[*ids, *[self._pad_token_id] * (longest - len(ids))] for ids in inputs]
        counts = torch.tensor(lengths)
        mask = None
        if min(lengths) < longest:
            mask = (torch.arange(longest) < counts[:, None]).long().to(device)
        states: Tensor = self._model(
            input_ids=torch.tensor(rows, device=device), attention_mask=mask, **self._options
        ).last_hidden_state
        return self._head(states, counts.to(device)).cpu()
