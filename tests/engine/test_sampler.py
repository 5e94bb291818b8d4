"""The sampler against slow, plain float64 references, and its draws against statistics."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.engine.batched.draws import uniform_of
from llm_service.engine.batched.row import Row
from llm_service.engine.batched.sampler import SampledToken, Sampler, SamplingError
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.kernels.head import EVERY_LOGIT, LogitNeeds
from llm_service.engine.kernels.library import load_kernels
from llm_service.engine.kernels.reductions import FusedReductions, TorchReductions
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from tests.engine.masks import mask_of


def sequence(params, prompt=(1, 2, 3), output=()):
    made = Sequence.from_request(
        GenerationRequest("r", Prompt(tuple(prompt)), params), submitted=0.0
    )
    made.token_ids += output
    return made


def params(**changes):
    return SamplingParams(**{"max_tokens": 10, **changes})


def sample(logits, *sequences, **options):
    return sample_rows(logits, *[Row(s) for s in sequences], **options)


def sample_rows(logits, *rows, eos=frozenset(), by_kernels=True):
    logits = torch.as_tensor(logits)
    logits = logits if logits.dim() == 2 else logits[None]
    reductions = FusedReductions(load_kernels()) if by_kernels else None
    return Sampler(logits.shape[1], eos, reductions).sample(logits, rows)


def reference_distribution(logits, p, prompt, output, allowed=None):
    """Token id to probability, in the order of drawing, by the definitions alone."""
    scores = [float(x) for x in logits]
    for token in {*prompt, *output}:
        scores[token] *= p.repetition_penalty if scores[token] < 0 else 1 / p.repetition_penalty
    for token, count in Counter(output).items():
        scores[token] -= count * p.frequency_penalty + p.presence_penalty
    for token, bias in p.logit_bias.items():
        scores[token] += bias
    if allowed is not None:
        scores = [score if i in allowed else -math.inf for i, score in enumerate(scores)]
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if p.is_greedy:
        return {order[0]: 1.0}
    weights = {i: math.exp((scores[i] - scores[order[0]]) / p.temperature) for i in order}
    if not p.top_k and p.top_p == 1 and not p.min_p:
        total = sum(weights.values())
        return {i: weights[i] / total for i in sorted(weights)}
    kept = order[: p.top_k or None]
    total, before = sum(weights[i] for i in kept), 0.0
    in_top_p: list[int] = []
    for i in kept:
        if p.top_p < 1 and before >= p.top_p * total and in_top_p:
            break
        in_top_p.append(i)
        before += weights[i]
    kept = [i for i in in_top_p if weights[i] >= p.min_p]
    total = sum(weights[i] for i in kept)
    return {i: weights[i] / total for i in kept}


def reference_choice(distribution, uniform):
    reached = 0.0
    for token, probability in distribution.items():
        reached += probability
        if reached > uniform:
            return token, min(abs(reached - uniform), abs(reached - probability - uniform))
    return token, 0.0


any_params = st.builds(
    params,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0, 50.0]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
    top_k=st.sampled_from([0, 1, 2, 40, 64, 65, 200, 2500, 10_000]),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    presence_penalty=st.sampled_from([0.0, 0.0, 1.5, -2.0]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.7, -1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.0, 1.3, 0.8]),
    logit_bias=st.dictionaries(st.integers(0, 49), st.floats(-100, 100), max_size=3),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            any_params,
            st.lists(st.integers(0, 49), max_size=6),  # output
            st.lists(st.integers(0, 49), max_size=3),  # draft
            st.none() | st.sets(st.integers(0, 49), min_size=1),  # allowed
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([50, 64, 65, 3000]),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_every_row_of_a_batch_is_chosen_by_the_definitions_alone(
    rows, size, dtype, by_kernels, seed
):
    logits = torch.randn(len(rows), size, generator=torch.Generator().manual_seed(seed)) * 4
    logits = logits.to(dtype)  # bfloat16 makes many equal logits
    before = logits.clone()
    made = [
        Row(sequence(p, output=output), tuple(draft), allowed and mask_of(allowed, size))
        for p, output, draft, allowed in rows
    ]
    results = sample_rows(logits, *made, by_kernels=by_kernels)
    assert torch.equal(logits, before)
    for row, (p, output, draft, allowed), result in zip(logits, rows, results, strict=True):
        said = [*output, *draft]
        distribution = reference_distribution(row.float(), p, (1, 2, 3), said, allowed)
        expected, distance = reference_choice(distribution, uniform_of(p.seed, len(said)))
        assert allowed is None or result.token_id in allowed
        if distance > 1e-5 or p.is_greedy:  # else rounding may decide
            assert result.token_id == expected


@pytest.mark.parametrize(
    "p",
    [
        params(temperature=0.8),
        params(temperature=1.0, top_k=5),
        params(temperature=1.0, top_p=0.8),
        params(temperature=1.3, min_p=0.2),
        params(temperature=1.0, top_k=12, top_p=0.9, min_p=0.05, presence_penalty=0.5),
    ],
)
def test_the_frequencies_of_seeded_draws_follow_the_distribution(p):
    num_draws = 4000
    row = torch.randn(40, generator=torch.Generator().manual_seed(5)) * 2
    seeded = [params(**{**_fields(p), "seed": seed}) for seed in range(num_draws)]
    results = sample(row.repeat(num_draws, 1), *[sequence(q, output=(7,)) for q in seeded])
    counts = Counter(result.token_id for result in results)
    expected = reference_distribution(row, p, (1, 2, 3), (7,))
    assert set(counts) <= set(expected)
    assert _chi_square_is_plausible(counts, expected, num_draws)


def _fields(p):
    return {name: getattr(p, name) for name in p.__dataclass_fields__}


def _chi_square_is_plausible(counts, expected, num_draws):
    """Cells of five draws and more; the bound is about five standard deviations."""
    cells = {i: q * num_draws for i, q in expected.items() if q * num_draws >= 5}
    statistic = sum((counts[i] - mean) ** 2 / mean for i, mean in cells.items())
    freedom = len(cells)
    return statistic < freedom + 5 * math.sqrt(2 * freedom) + 5


def test_unseeded_draws_differ_from_one_another():
    row = torch.zeros(1000)
    results = sample(row.repeat(50, 1), *[sequence(params()) for _ in range(50)])
    assert len({result.token_id for result in results}) > 30


def test_a_seeded_row_is_the_same_alone_and_in_any_batch():
    logits = torch.randn(9, 5000, generator=torch.Generator().manual_seed(1))
    rows = [sequence(params(seed=i, temperature=1.5, top_p=0.95), output=[4] * i) for i in range(9)]
    together = sample(logits, *rows)
    alone = [sample(logits[i], rows[i])[0] for i in range(9)]
    backwards = sample(logits.flip(0), *reversed(rows))[::-1]
    assert together == alone == backwards


def test_a_seed_gives_each_position_a_number_of_its_own():
    numbers = {uniform_of(seed, position) for seed in range(30) for position in range(30)}
    assert len(numbers) == 900
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / 900 - 0.5) < 0.05


@pytest.mark.parametrize("by_kernels", [False, True])
def test_a_flat_distribution_over_a_large_vocabulary_is_drawn_from_all_of_it(by_kernels):
    row = torch.zeros(20_000)
    seeds = range(200)
    sequences = [sequence(params(seed=seed)) for seed in seeds]
    results = sample(row.repeat(200, 1), *sequences, by_kernels=by_kernels)
    assert [r.token_id for r in results] == [int(uniform_of(seed, 0) * 20_000) for seed in seeds]


def test_greedy_takes_the_first_of_equal_logits_as_argmax_does():
    row = torch.zeros(300)
    row[[40, 200]] = 5.0
    biased = params(temperature=0.0, logit_bias={10: 1.0})
    results = sample(row.repeat(2, 1), sequence(params(temperature=0.0)), sequence(biased))
    assert [result.token_id for result in results] == [int(row.argmax()), 40]


def test_log_probabilities_are_of_the_models_own_logits():
    row = torch.randn(500, generator=torch.Generator().manual_seed(2)) * 3
    p = params(temperature=0.0, num_logprobs=5, logit_bias={17: 100.0}, presence_penalty=2.0)
    (result,) = sample(row, sequence(p, output=(17,)))
    expected = torch.log_softmax(row.double(), 0)
    best = expected.topk(5)
    assert result.token_id == 17
    assert result.logprob == pytest.approx(float(expected[17]), abs=1e-5)
    assert [token for token, _ in result.top] == best.indices.tolist()
    assert [logprob for _, logprob in result.top] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_no_log_probability_is_given_unless_asked_for_and_none_beside_it_for_zero():
    row = torch.randn(100)
    silent, chosen = params(temperature=0.0), params(temperature=0.0, num_logprobs=0)
    results = sample(row.repeat(2, 1), sequence(silent), sequence(chosen))
    assert results[0] == SampledToken(int(row.argmax()))
    assert results[1].logprob == pytest.approx(float(row.log_softmax(0).max()), abs=1e-5)
    assert results[1].top == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_row_fails_alone(bad, temperature):
    logits = torch.randn(3, 200)
    logits[1, 150] = bad
    rows = [sequence(params(temperature=temperature, seed=1)) for _ in range(3)]
    results = sample(logits, *rows)
    assert isinstance(results[1], SamplingError)
    assert "logit" in str(results[1])
    assert [results[0], results[2]] == sample(logits[[0, 2]], rows[0], rows[2])


def test_a_row_without_any_possible_token_fails():
    (result,) = sample(torch.full((50,), -math.inf), sequence(params()))
    assert isinstance(result, SamplingError)


def test_a_bias_on_a_token_that_does_not_exist_fails_that_row_and_names_the_token():
    rows = [sequence(params(logit_bias={900: 1.0})), sequence(params(temperature=0.0))]
    results = sample(torch.randn(2, 100), *rows)
    assert "900" in str(results[0])
    assert isinstance(results[1], SampledToken)


def test_tokens_ruled_out_by_the_model_are_never_drawn():
    row = torch.full((3000,), -math.inf)
    row[[5, 2999]] = torch.tensor([0.0, 1.0])
    results = sample(row.repeat(100, 1), *[sequence(params(seed=seed)) for seed in range(100)])
    assert {result.token_id for result in results} == {5, 2999}


def test_an_answer_shorter_than_min_tokens_does_not_end():
    row = torch.zeros(100)
    row[[7, 8, 9]] = torch.tensor([9.0, 8.0, 7.0])
    p = params(temperature=0.0, min_tokens=2, stop_token_ids=(8,))
    rows = [sequence(p, output=output) for output in ([], [9], [9, 9])]
    results = sample(row.repeat(3, 1), *rows, eos=frozenset({7}))
    assert [result.token_id for result in results] == [9, 9, 7]


masked_params = pytest.mark.parametrize(
    "p",
    [
        params(temperature=0.0),
        params(temperature=0.0, repetition_penalty=1.2, num_logprobs=4),
        params(seed=1),
        params(seed=2, top_p=0.9),
        params(seed=3, top_k=100, min_p=0.001),
    ],
)


@pytest.mark.parametrize("by_kernels", [False, True])
@masked_params
def test_a_mask_of_all_ids_changes_nothing(p, by_kernels):
    logits = torch.randn(30, 1001, generator=torch.Generator().manual_seed(6)) * 3
    everything = mask_of(range(1001), 1001)
    rows = [sequence(p, output=[i]) for i in range(30)]
    free = sample_rows(logits, *[Row(s) for s in rows], by_kernels=by_kernels)
    masked = [Row(s, allowed=everything) for s in rows]
    assert sample_rows(logits, *masked, by_kernels=by_kernels) == free


@pytest.mark.parametrize("by_kernels", [False, True])
@masked_params
def test_no_more_than_the_allowed_ids_is_ever_chosen(p, by_kernels):
    """Those of the last block and the last word of the mask as well, with bits past the end set."""
    logits = torch.randn(1, 70_001, generator=torch.Generator().manual_seed(7)) * 3
    before = logits.clone()
    for ids in ((70_000,), (0,), (31, 32, 63, 64), (5, 69_999, 70_000)):
        mask = mask_of([*ids, 70_001, 70_010], 70_016)
        seeds = range(20) if p.seed else [None]
        rows = [sequence(replace(p, seed=seed)) for seed in seeds]
        row = logits.repeat(len(rows), 1)
        results = sample_rows(row, *[Row(s, allowed=mask) for s in rows], by_kernels=by_kernels)
        assert {result.token_id for result in results} <= set(ids)
        assert torch.equal(row, before.repeat(len(rows), 1))
        if p.is_greedy and not p.is_penalized:
            assert results[0].token_id == max(ids, key=lambda i: float(logits[0, i]))


def test_log_probabilities_of_a_masked_row_are_of_the_models_own_logits():
    row = torch.randn(500, generator=torch.Generator().manual_seed(8)) * 3
    p = params(temperature=0.0, num_logprobs=3)
    (result,) = sample_rows(row, Row(sequence(p), allowed=mask_of([17], 500)))
    expected = row.log_softmax(0)
    assert result.token_id == 17
    assert result.logprob == pytest.approx(float(expected[17]), abs=1e-5)
    assert [token for token, _ in result.top] == expected.topk(3).indices.tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_whose_mask_allows_nothing_fails_alone(temperature):
    p = params(temperature=temperature, seed=4)
    held = replace(p, min_tokens=3)
    logits = torch.randn(5, 100, generator=torch.Generator().manual_seed(9))
    rows = [
        Row(sequence(p)),
        Row(sequence(p), allowed=mask_of([], 100)),
        Row(sequence(p), allowed=mask_of([100, 120], 128)),
        Row(sequence(held), allowed=mask_of([7], 100)),  # the mask wins over min_tokens
        Row(sequence(held), allowed=mask_of([7, 9], 100)),
    ]
    results = sample_rows(logits, *rows, eos=frozenset({7}))
    assert [isinstance(result, SamplingError) for result in results] == [0, 1, 1, 0, 0]
    assert "mask" in str(results[1])
    assert results[0] == sample(logits[0], rows[0].sequence)[0]
    assert [results[3].token_id, results[4].token_id] == [7, 9]


def test_where_every_token_would_end_the_answer_too_early_the_row_fails():
    p = params(temperature=0.0, min_tokens=3, stop_token_ids=tuple(range(100)))
    (result,) = sample(torch.randn(100), sequence(p))
    assert "min_tokens" in str(result)


@pytest.mark.parametrize(
    "mask", [torch.ones(3, dtype=torch.int32), torch.ones(4), torch.ones(1, 4).int()]
)
def test_a_mask_of_another_form_fails_its_row_and_says_what_it_must_be(mask):
    rows = [Row(sequence(params(seed=1)), allowed=mask), Row(sequence(params(seed=1)))]
    results = sample_rows(torch.randn(2, 100), *rows)
    assert "torch.int32 [4]" in str(results[0])
    assert isinstance(results[1], SampledToken)


def test_a_draw_from_few_allowed_tokens_needs_no_sort(monkeypatch):
    """A large top_k keeps all of them, and what follows them has no probability."""
    monkeypatch.setattr(torch.Tensor, "sort", None)
    allowed = mask_of([3, 4999], 5000)
    logits = torch.randn(5000)
    logits[3], logits[4999] = 1.0, 0.5  # both are drawn within 50 draws
    for p in (params(top_k=3000), params(top_p=0.999), params(min_p=1e-9)):
        rows = [Row(sequence(replace(p, seed=seed)), allowed=allowed) for seed in range(50)]
        results = sample_rows(logits.repeat(50, 1), *rows)
        assert {result.token_id for result in results} == {3, 4999}


def test_a_row_needs_every_logit_where_others_may_be_raised_and_the_allowed_ones_of_a_mask():
    sampler = Sampler(100, frozenset({7}))
    greedy = params(temperature=0.0)
    assert sampler.needs(Row(sequence(greedy))) == LogitNeeds(1, 0.0)
    mask = mask_of([1], 100)
    masked = sampler.needs(Row(sequence(greedy), allowed=mask))
    assert (masked.count, masked.depth) == (1, 0.0)
    assert masked.allowed is mask
    with_logprobs = params(temperature=0.0, num_logprobs=0)
    assert sampler.needs(Row(sequence(with_logprobs), allowed=mask)) == EVERY_LOGIT
    of_another_size = Row(sequence(greedy), allowed=mask_of([1], 200))
    assert sampler.needs(of_another_size) == LogitNeeds(1, 0.0)
    for p in (
        params(presence_penalty=-1.0),
        params(frequency_penalty=-0.1),
        params(repetition_penalty=0.9),
        params(logit_bias={3: -1.0, 4: 1.0}),
    ):
        assert sampler.needs(Row(sequence(p))) == EVERY_LOGIT


def test_a_row_needs_one_more_logit_for_each_that_may_be_lowered():
    sampler = Sampler(100, frozenset({7}))
    penalized = params(temperature=0.0, repetition_penalty=1.1)
    assert sampler.needs(Row(sequence(penalized, output=[9, 9, 8]))).count == 1 + 5
    assert sampler.needs(Row(sequence(penalized), draft=(9, 8))).count == 1 + 5
    held = params(temperature=0.0, min_tokens=2, stop_token_ids=(4,), logit_bias={3: -1.0})
    assert sampler.needs(Row(sequence(held), draft=(5,))).count == 1 + 3
    assert sampler.needs(Row(sequence(held), draft=(5, 5))).count == 1 + 1


def test_counts_grow_with_the_sequence_and_outlive_a_preemption():
    made = sequence(params(), prompt=(1, 2, 2, 3))
    counts = made.output_counts()
    assert counts == {1: 0, 2: 0, 3: 0}
    for token_id in (2, 9, 9):
        made.record_token(token_id)
    made.num_computed_tokens = 0  # as after a preemption
    assert made.output_counts() is counts
    assert counts == {1: 0, 2: 1, 3: 0, 9: 2}
    assert Row(made, draft=(9, 4)).output_counts() == {1: 0, 2: 1, 3: 0, 9: 3, 4: 1}
    assert made.output_counts() == {1: 0, 2: 1, 3: 0, 9: 2}


@pytest.mark.parametrize("width", [1, 7, 63, 1000, 151_936])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_the_kernels_reduce_rows_as_torch_does(width, spread):
    logits = (torch.randn(5, width, generator=torch.Generator().manual_seed(3)) * spread).round()
    kernels, plain, rows = FusedReductions(load_kernels()), TorchReductions(), [4, 0, 2]
    values, ids = kernels.best(logits, rows)
    assert torch.equal(values, logits[rows].max(dim=1).values)
    assert torch.equal(ids, logits[rows].argmax(dim=1))
    count = min(64, width)
    values, ids = kernels.largest(logits, rows, count)
    expected, order = logits[rows].sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected[:, :count])
    assert torch.equal(ids, order[:, :count])
    peaks, temperatures = values[:, 0], torch.tensor([0.5, 1.0, 3.0])
    arguments = (logits.double(), rows, peaks.double(), temperatures.double(), 128)
    sums = kernels.weights(logits, rows, peaks, temperatures, 128)
    torch.testing.assert_close(sums, plain.weights(*arguments).float(), rtol=3e-6, atol=0)
