"""A fused model in one call gives what its modules give, called one after the other."""

import pytest
import torch
from torch import Tensor, nn

from llm_service.engine.config import Quantization
from llm_service.engine.kernels.attention import PagedBatch, Span
from llm_service.engine.kernels.head import EVERY_LOGIT, LogitNeeds
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.kernels.library import KernelError
from llm_service.engine.kernels.model import FusedModel
from tests.engine.models import FUSED, VOCAB_SIZE, distance, fresh_model, prepare, shapes_of

BLOCK_SIZE, NUM_BLOCKS = 4, 300
FIRST, SECOND = list(range(7, 7 + 200)), [5, 3, 0, 1]


class Steps:
    """Random tokens over some spans, computed both ways, each in a cache of its own."""

    def __init__(self, architecture: str, quantization: Quantization) -> None:
        model = fresh_model(architecture)
        prepare(model, quantization)
        made = FusedModel.of(model)
        assert made is not None
        self.model = made
        self.cache, self.other_cache = [
            KVCache(
                shapes_of(model),
                NUM_BLOCKS,
                BLOCK_SIZE,
                dtype=torch.float32,
                device=torch.device("cpu"),
            )
            for _ in range(2)
        ]
        self.generator = torch.Generator().manual_seed(0)

    @torch.inference_mode()
    def both(
        self, spans: list[Span], rows: list[int], needs: tuple[LogitNeeds, ...] = ()
    ) -> tuple[Tensor, Tensor]:
        positions = [p for span in spans for p in range(span.start, span.end)]
        slots = [
            span.block_table[p // BLOCK_SIZE] * BLOCK_SIZE + p % BLOCK_SIZE
            for span in spans
            for p in range(span.start, span.end)
        ]
        tokens = torch.randint(VOCAB_SIZE, (len(positions),), generator=self.generator)
        found = self.model.forward(
            tokens.tolist(), slots, rows, spans, [0] * len(spans), self.cache, needs
        )
        paged = PagedBatch(self.other_cache, spans, torch.tensor(slots), torch.float32)
        expected = self.model.by_parts(
            self.model.embed(tokens), torch.tensor([positions]), torch.tensor(rows), paged
        )
        return found, expected


@pytest.mark.parametrize(("quantization", "tolerance"), [("none", 1e-5), ("8bit", 0.01)])
@pytest.mark.parametrize("architecture", FUSED.values())
def test_prompts_chunks_and_decodes_together_are_what_the_modules_make_of_them(
    architecture, quantization, tolerance
):
    steps = Steps(architecture, quantization)
    for spans, rows in (
        ([Span(0, 6, FIRST)], [5]),
        ([Span(6, 7, FIRST), Span(0, 9, SECOND)], [0, 9]),
        ([Span(7, 8, FIRST), Span(9, 10, SECOND)], [0, 1]),
        ([Span(10, 11, SECOND), Span(8, 40, FIRST)], [0, 2, 31, 32]),
    ):
        assert distance(*steps.both(spans, rows)) < tolerance


def test_positions_are_known_however_long_a_text_becomes():
    steps = Steps("llama", "none")
    for start, end in ((0, 500), (500, 520), (520, 521), (521, 790)):
        found, expected = steps.both([Span(start, end, FIRST)], [end - start - 1])
        assert distance(found, expected) < 1e-5


def test_needed_logits_are_as_exact_as_if_all_were_needed():
    spans = [Span(0, 3, SECOND)]
    everything, _ = Steps("llama", "8bit").both(spans, [0, 1, 2])
    needs = LogitNeeds(1, 0.0), EVERY_LOGIT, LogitNeeds(5, 1.0)
    found, _ = Steps("llama", "8bit").both(spans, [0, 1, 2], needs)
    assert torch.equal(found[1], everything[1])
    for row, right, count in ((0, everything[0], 1), (2, everything[2], 5)):
        least = right.topk(count).values[-1] - needs[row].depth
        assert torch.equal(found[row][right >= least], right[right >= least])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_does_not_change_a_bit(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, _ = Steps("qwen3", "8bit").both([Span(0, 30, FIRST)], [3, 29])
    finally:
        torch.set_num_threads(before)
    expected, _ = Steps("qwen3", "8bit").both([Span(0, 30, FIRST)], [3, 29])
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("tokens", "rows", "message"),
    [
        ([VOCAB_SIZE], [0], f"token id {VOCAB_SIZE} is not one of {VOCAB_SIZE}"),
        ([1], [1], "row 1 is not one of the step's 1 tokens"),
        ([1], [-1], "row -1 is not one of the step's 1 tokens"),
    ],
)
def test_a_step_that_reads_out_of_bounds_fails_and_the_next_does_not(tokens, rows, message):
    steps, spans = Steps("llama", "8bit"), [Span(0, 1, FIRST)]
    expected, _ = steps.both(spans, [0])
    with pytest.raises(KernelError, match=message):
        steps.model.forward(tokens, [FIRST[0] * BLOCK_SIZE], rows, spans, [0], steps.cache)
    steps.generator.manual_seed(0)
    found, _ = steps.both(spans, [0])
    assert torch.equal(found, expected)


def test_a_position_beyond_the_rotary_tables_fails_the_step():
    steps, spans = Steps("llama", "none"), [Span(0, 1, FIRST)]
    steps.both(spans, [0])
    steps.model._struct.num_positions = 0
    with pytest.raises(KernelError, match="from position 0 to 1, but the rotary tables have 0"):
        steps.both(spans, [0])


def test_a_model_that_is_not_fused_or_ends_in_another_norm_is_not_run_in_one_call():
    model = fresh_model("llama")
    assert FusedModel.of(model) is None
    prepare(model)
    assert FusedModel.of(model) is not None
    model.model.norm = nn.LayerNorm(model.config.hidden_size)
    assert FusedModel.of(model) is None
