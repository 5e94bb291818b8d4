"""A head in planes: the logits that are needed are exact, however the others are computed."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given
from torch import Tensor

from llm_service.engine.batched.sampler import SampledToken, SamplingError
from llm_service.engine.kernels.fused import FusedLinear
from llm_service.engine.kernels.head import EVERY_LOGIT, FusedHead, LogitNeeds
from llm_service.engine.kernels.library import load_kernels
from llm_service.engine.kernels.packing import PackedLinear, Scheme, pack
from tests.engine.masks import mask_of
from tests.engine.test_kernels import each_instruction_set, random_shapes
from tests.engine.test_sampler import params, sample, sequence


def logits(
    instruction_set: str, packed: PackedLinear, x: Tensor, needs: list[LogitNeeds]
) -> Tensor:
    found: Tensor = FusedHead(load_kernels(instruction_set), packed)(x, needs)
    return found


def exact(instruction_set: str, packed: PackedLinear, x: Tensor) -> Tensor:
    found: Tensor = FusedLinear(load_kernels(instruction_set), packed)(x)
    return found


def kinds_of_weights(num_outputs: int, num_inputs: int, generator: torch.Generator) -> Tensor:
    """Channels of every kind: like noise, of small numbers beside a huge one, sparse, all zero."""
    weight = torch.randn(num_outputs, num_inputs, generator=generator)
    weight[1::5, 0] = 40 * torch.randn(len(weight[1::5]), generator=generator)
    weight[2::5] *= torch.rand(weight[2::5].shape, generator=generator) < 0.1
    weight[3::5] = weight[3::5].sign()
    weight[4::5] *= torch.randint(2, (len(weight[4::5]), 1), generator=generator)
    return weight


@each_instruction_set
@random_shapes
@given(
    rows=st.integers(1, 9),
    num_inputs=st.integers(16, 300),
    num_outputs=st.integers(1, 700),
    count=st.integers(1, 20),
    depth=st.sampled_from([0.0, 0.5, 5.0, math.inf]),
    towards=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
@example(rows=2, num_inputs=896, num_outputs=5000, count=1, depth=0.0, towards=0.5, seed=0)
def test_logits_that_are_needed_are_exact(
    instruction_set, rows, num_inputs, num_outputs, count, depth, towards, seed
):
    generator = torch.Generator().manual_seed(seed)
    weight = kinds_of_weights(num_outputs, num_inputs, generator)
    bias = torch.randn(num_outputs, generator=generator)
    packed = pack(weight, bias, Scheme.PLANES)
    # Inputs that point some of the way of one channel each, as a sure model's do.
    targets = weight[torch.randint(num_outputs, (rows,), generator=generator)]
    noise = torch.randn(rows, num_inputs, generator=generator)
    x = towards * targets + (1 - towards) * noise
    found = logits(instruction_set, packed, x, [LogitNeeds(count, depth)] * rows)
    expected = exact(instruction_set, packed, x)
    for row, right in zip(found, expected, strict=True):
        least = right.topk(min(count, num_outputs)).values[-1] - depth
        assert torch.equal(row[right >= least], right[right >= least])
        assert (row[right < least] < least + depth).all()


@each_instruction_set
@random_shapes
@given(
    scheme=st.sampled_from([Scheme.PLANES, Scheme.INT4, Scheme.FLOAT32]),
    rows=st.integers(1, 9),
    num_outputs=st.integers(1, 700),
    share=st.sampled_from([0.003, 0.05, 0.5, 1.0]),
    has_free_row=st.booleans(),
    count=st.integers(1, 20),
    depth=st.sampled_from([0.0, 0.5, 5.0, math.inf]),
    seed=st.integers(0, 2**31),
)
def test_of_masked_rows_the_allowed_logits_that_are_needed_are_exact(
    instruction_set, scheme, rows, num_outputs, share, has_free_row, count, depth, seed
):
    generator = torch.Generator().manual_seed(seed)
    packed = pack(kinds_of_weights(num_outputs, 96, generator), None, scheme)
    x = torch.randn(rows, 96, generator=generator)
    chosen = torch.rand(rows, num_outputs, generator=generator) < share
    masks = [mask_of(row.nonzero().flatten().tolist(), num_outputs) for row in chosen]
    needs = [LogitNeeds(count, depth, mask) for mask in masks]
    if has_free_row:
        needs[0], chosen[0] = LogitNeeds(count, depth), True
    found = logits(instruction_set, packed, x, needs)
    expected = exact(instruction_set, packed, x)
    for row, right, allowed in zip(found, expected, chosen, strict=True):
        row, right = row[allowed], right[allowed]
        if len(row):
            least = right.topk(min(count, len(right))).values[-1] - depth
            assert torch.equal(row[right >= least], right[right >= least])
            assert (row[right < least] < least + depth).all()


@each_instruction_set
@pytest.mark.parametrize("scheme", [Scheme.PLANES, Scheme.INT4, Scheme.BFLOAT16])
def test_of_masked_rows_only_the_allowed_panels_are_computed(instruction_set, scheme):
    packed = pack(torch.randn(4000, 128, generator=torch.Generator()), None, scheme)
    x = torch.randn(3, 128)
    masks = [mask_of(ids, 4000) for ids in ([5, 3999], [6], [40])]
    found = logits(instruction_set, packed, x, [LogitNeeds(allowed=mask) for mask in masks])
    is_computed = found > -math.inf
    assert is_computed.nonzero()[:, 1].unique().tolist() == [
        *range(16),
        *range(32, 48),
        *range(3984, 4000),
    ]
    assert torch.equal(found[is_computed], exact(instruction_set, packed, x)[is_computed])


@each_instruction_set
def test_rows_with_different_needs_get_the_logits_that_they_would_alone(instruction_set):
    generator = torch.Generator().manual_seed(1)
    packed = pack(torch.randn(4000, 128, generator=generator), None, Scheme.PLANES)
    x = torch.randn(6, 128, generator=generator)
    needs = [
        LogitNeeds(1, 0.0),
        EVERY_LOGIT,
        LogitNeeds(3, 0.0),
        LogitNeeds(1, 1000.0),
        LogitNeeds(1, 0.0),
        EVERY_LOGIT,
    ]
    together = logits(instruction_set, packed, x, needs)
    alone = [logits(instruction_set, packed, x[i : i + 1], [needs[i]]) for i in range(6)]
    assert torch.equal(together, torch.cat(alone))
    right = exact(instruction_set, packed, x)
    assert torch.equal(together[[1, 3, 5]], right[[1, 3, 5]])
    assert not torch.equal(together[0], right[0])


@each_instruction_set
def test_logits_that_are_not_needed_are_approximate(instruction_set):
    generator = torch.Generator().manual_seed(2)
    packed = pack(torch.randn(3000, 256, generator=generator), None, Scheme.PLANES)
    x = torch.randn(4, 256, generator=generator)
    found = logits(instruction_set, packed, x, [LogitNeeds(1, 0.0)] * 4)
    right = exact(instruction_set, packed, x)
    assert (found != right).float().mean() > 0.9
    assert torch.dist(found, right) < 0.2 * torch.linalg.vector_norm(right)


def test_without_needs_every_logit_is_exact():
    packed = pack(torch.randn(3000, 64), None, Scheme.PLANES)
    instruction_set, x = load_kernels().instruction_set, torch.randn(2, 64)
    head = FusedHead(load_kernels(), packed)
    right = exact(instruction_set, packed, x)
    assert not torch.equal(head(x, [LogitNeeds(1, 0.0)] * 2), right)
    assert torch.equal(head(x), right)


@each_instruction_set
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [[5], [0, 31, 127], list(range(128))])
def test_a_row_with_a_number_that_is_none_fails_alone(instruction_set, bad, at):
    generator = torch.Generator().manual_seed(3)
    packed = pack(torch.randn(3000, 128, generator=generator), None, Scheme.PLANES)
    x = torch.randn(3, 128, generator=generator)
    needs = [LogitNeeds(1, 0.0), LogitNeeds(200, 30.0), LogitNeeds(5, 1.0)]
    right = logits(instruction_set, packed, x, needs)
    x[1, at] = bad
    found = logits(instruction_set, packed, x, needs)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], right[[0, 2]])
    chosen = sample(found, *[sequence(params(temperature=0.0)) for _ in range(3)])
    assert [type(token) for token in chosen] == [SampledToken, SamplingError, SampledToken]


@each_instruction_set
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
@pytest.mark.parametrize("count", [1, 70, 2000])
def test_logits_of_which_some_are_not_numbers_are_searched_safely(instruction_set, share, count):
    generator = torch.Generator().manual_seed(4)
    weight, bias = torch.randn(5000, 64, generator=generator), torch.zeros(5000)
    bias[torch.rand(5000, generator=generator) < share] = math.nan
    bias[17] = math.nan
    x = torch.randn(2, 64, generator=generator)
    packed = pack(weight, bias, Scheme.PLANES)
    found = logits(instruction_set, packed, x, [LogitNeeds(count, 0.5)] * 2)
    right = exact(instruction_set, packed, x)
    assert torch.equal(found.isnan(), bias.isnan().expand(2, -1))
    assert torch.equal(found.nan_to_num(), right.nan_to_num())  # such a row is computed whole
    results = sample(found, *[sequence(params(temperature=0.0)) for _ in range(2)])
    assert all(isinstance(result, SamplingError) for result in results)


@each_instruction_set
@pytest.mark.parametrize("bias", [0.0, -math.inf])
def test_a_row_whose_logits_are_all_equal_is_exact(instruction_set, bias):
    packed = pack(torch.zeros(3000, 64), torch.full((3000,), bias), Scheme.PLANES)
    found = logits(instruction_set, packed, torch.randn(2, 64), [LogitNeeds(10, 0.0)] * 2)
    assert (found == bias).all()


@pytest.mark.parametrize("scheme", [Scheme.FLOAT32, Scheme.BFLOAT16])
def test_other_schemes_compute_everything(scheme):
    packed = pack(torch.randn(100, 32), None, scheme)
    x = torch.randn(2, 32)
    instruction_set = load_kernels().instruction_set
    found = logits(instruction_set, packed, x, [LogitNeeds(1, 0.0)] * 2)
    assert torch.equal(found, exact(instruction_set, packed, x))
