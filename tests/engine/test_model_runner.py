"""The needs of rows reach a head that the kernels compute, and mean what the sampler means."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.kernels.head import LogitNeeds
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.loading.compatibility import layer_shapes
from tests.engine.cores import make_sequence
from tests.engine.models import prepare
from tests.engine.test_compatibility import build

WIDE: dict[str, Any] = {"vocab_size": 6000, "hidden_size": 64}
DEPTH = 3.0


class Steps:
    """A model whose layers run part by part, with a quantized head."""

    def __init__(self, model_type: str, **fields: Any) -> None:
        self.model = build(model_type, **WIDE, **fields)
        shapes = layer_shapes(self.model)
        assert not prepare(self.model, "8bit")[0].is_fused
        cache = KVCache(
            shapes, num_blocks=8, block_size=16, dtype=torch.float32, device=torch.device("cpu")
        )
        self.runner = ModelRunner(self.model, cache)
        self.sequence = make_sequence(tuple(range(5, 14)))
        self.sequence.block_table = [1, 2]

    def step(self, needs: tuple[LogitNeeds, ...] = ()) -> Tensor:
        """Logits [vocab_size] after the prompt, which is computed anew each time."""
        item = ScheduledSequence(self.sequence, 9, is_sampled=True, is_decode=False)
        return self.runner.forward(ScheduledBatch([item]), needs)[0]


def test_a_head_within_a_model_computes_exactly_only_what_is_needed() -> None:
    steps = Steps("olmo2")
    right, all_again, found = steps.step(), steps.step(), steps.step((LogitNeeds(3, 0.0),))
    assert torch.equal(all_again, right)
    is_needed = right >= right.topk(3).values[-1]
    assert torch.equal(found[is_needed], right[is_needed])
    assert not torch.equal(found, right)


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [
        ("granite", {"logits_scaling": 16.0}),
        ("cohere2", {"logit_scale": 0.0625}),
        ("gemma2", {"final_logit_softcapping": 5.0}),
    ],
)
def test_needs_count_for_logits_that_a_model_scales_after_its_head(
    model_type: str, fields: dict[str, float]
) -> None:
    """Their depth is one of the scaled logits, which lie closer together than the head's."""
    steps = Steps(model_type, **fields)
    right, found = steps.step(), steps.step((LogitNeeds(1, DEPTH),))
    is_needed = right >= right.max() - DEPTH
    assert is_needed.sum() > 10
    assert torch.equal(found[is_needed], right[is_needed])
