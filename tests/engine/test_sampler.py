"""The sampler against slow, plain float64 references, and its draws against statistics."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.engine.batched.kernels.library import load_kernels
from llm_service.engine.batched.kernels.reductions import FusedReductions, TorchReductions
from llm_service.engine.batched.sampler import SampledToken, Sampler, SamplingError, uniform_of
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import GenerationRequest, SamplingParams


def sequence(params, prompt=(1, 2, 3), output=()):
    made = Sequence.from_request(GenerationRequest("r", tuple(prompt), params), submitted=0.0)
    made.token_ids += output
    return made


def params(**changes):
    return SamplingParams(**{"max_tokens": 10, **changes})


def sample(logits, *sequences, eos=frozenset(), by_kernels=True):
    logits = torch.as_tensor(logits)
    rows = logits if logits.dim() == 2 else logits[None]
    reductions = FusedReductions(load_kernels()) if by_kernels else None
    return Sampler(rows.shape[1], eos, reductions).sample(rows, sequences)


def reference_distribution(logits, p, prompt, output):
    """Token id to probability, in the order of drawing, by the definitions alone."""
    scores = [float(x) for x in logits]
    for token in {*prompt, *output}:
        scores[token] *= p.repetition_penalty if scores[token] < 0 else 1 / p.repetition_penalty
    for token, count in Counter(output).items():
        scores[token] -= count * p.frequency_penalty + p.presence_penalty
    for token, bias in p.logit_bias.items():
        scores[token] += bias
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if p.is_greedy:
        return {order[0]: 1.0}
    weights = {i: math.exp((scores[i] - scores[order[0]]) / p.temperature) for i in order}
    if not p.top_k and p.top_p == 1 and not p.min_p:
        total = sum(weights.values())
        return {i: weights[i] / total for i in sorted(weights)}
    kept = order[: p.top_k or None]
    total, before, in_top_p = sum(weights[i] for i in kept), 0.0, []
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
        st.tuples(any_params, st.lists(st.integers(0, 49), max_size=6)), min_size=1, max_size=4
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
    sequences = [sequence(p, output=output) for p, output in rows]
    results = sample(logits, *sequences, by_kernels=by_kernels)
    assert torch.equal(logits, before)
    for row, (p, output), result in zip(logits, rows, results, strict=True):
        distribution = reference_distribution(row.float(), p, (1, 2, 3), output)
        expected, distance = reference_choice(distribution, uniform_of(p.seed, len(output)))
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
