"""Greedy answers on the device equal `transformers.generate` there, token for token, in float32."""

import random
from functools import partial

import torch
from transformers import PreTrainedModel

from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.row import Row
from llm_service.engine.batched.sampler import Sampler, SamplingError
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import SamplingParams
from scripts.gpu_check import attention
from scripts.gpu_check.part import Failed, Figures, Part, use_one_thread
from tests.engine.cores import GREEDY, PROMPTS, make_core, make_sequence, output, run_to_end
from tests.engine.models import EOS_TOKEN_IDS, fresh_model, generate_greedily

_VOCAB_SIZE = 3000
_SAMPLINGS = (
    SamplingParams(1, temperature=0.0),
    SamplingParams(1, temperature=0.9, seed=1),
    SamplingParams(1, temperature=1.2, seed=2, top_k=40),
    SamplingParams(1, temperature=2.0, seed=3, top_p=0.9),
    SamplingParams(1, temperature=1.5, seed=4, top_p=0.999, min_p=0.001),
    SamplingParams(1, temperature=1.0, seed=5, repetition_penalty=1.3, presence_penalty=0.5),
    SamplingParams(1, temperature=0.0, logit_bias={7: 100.0, 9: -100.0}),
    SamplingParams(1, temperature=0.0, num_logprobs=5),
)


def run(part: Part) -> None:
    use_one_thread()
    torch.set_float32_matmul_precision("highest")  # TensorFloat-32 would not be exact
    for architecture in part.architectures:
        part.check(f"{architecture} equals generate", partial(_compare, part, architecture))
    lengths = attention.LENGTHS if part.has_real_shapes else attention.LENGTHS[::8]
    part.check("attention in bf16", partial(attention.compare, part.device, lengths))
    part.check("draws equal the CPU's", partial(_compare_draws, part))


def _compare(part: Part, architecture: str) -> Figures:
    reference = fresh_model(architecture, part.device)
    expected = {p: generate_greedily(reference, p, GREEDY.max_tokens) for p in PROMPTS}
    served = fresh_model(architecture, part.device)
    sequences = _answers(served)
    for scenario, sequence in sequences:
        prompt = sequence.request.prompt.token_ids
        if sequence.error is not None:
            raise Failed(f"{scenario}: {sequence.error.message}")
        if output(sequence) != expected[prompt]:
            raise Failed(
                f"{scenario}, prompt of {len(prompt)} tokens:"
                f" {_difference(reference, prompt, output(sequence), expected[prompt])}"
            )
    return {"answers": len(sequences), "tokens": sum(len(output(s)) for _, s in sequences)}


def _answers(model: PreTrainedModel) -> list[tuple[str, Sequence]]:
    """Return each answered sequence with the name of its scenario."""
    found = []
    core = make_core(model, prefix_cache=False)
    for prompt in PROMPTS:
        found += [("alone", s) for s in _run(core, [prompt])]
    found += [("six at once", s) for s in _run(make_core(model), PROMPTS)]
    core = make_core(model, max_batched_tokens=8)
    found += [("in chunks", s) for s in _run(core, [PROMPTS[4]])]
    core = make_core(model, num_blocks=19, prefix_cache=False)
    found += [("preempted", s) for s in _run(core, PROMPTS, must_preempt=True)]
    core = make_core(model)
    _run(core, [PROMPTS[4]])
    again = _run(core, [PROMPTS[2], PROMPTS[3], PROMPTS[4]])
    if not all(sequence.usage.num_cached_tokens for sequence in again):
        raise Failed("the prefix cache found nothing of a prompt that had been read before")
    return found + [("after a cached prefix", s) for s in again]


def _run(
    core: EngineCore, prompts: list[tuple[int, ...]], *, must_preempt: bool = False
) -> list[Sequence]:
    sequences = [make_sequence(prompt) for prompt in prompts]
    for sequence in sequences:
        core.add(sequence)
    num_preemptions = sum(result.stats.num_preemptions for result in run_to_end(core))
    if must_preempt and not num_preemptions:
        raise Failed("nothing was preempted in a KV cache that is too small for all")
    return sequences


@torch.inference_mode()
def _difference(
    reference: PreTrainedModel,
    prompt: tuple[int, ...],
    found: tuple[int, ...],
    expected: tuple[int, ...],
) -> str:
    """Say where the answers differ, and how close the reference's two best logits are there."""
    pairs = zip(found, expected, strict=False)
    position = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(expected)))
    ids = torch.tensor([prompt + expected[:position]], device=reference.device)
    best, second = reference(input_ids=ids).logits[0, -1].float().topk(2).values.tolist()
    return (
        f"token {position} of {len(expected)} is {found[position : position + 1]}, not"
        f" {expected[position : position + 1]}; its logit is {best:.5f}, the next one's"
        f" {second:.5f}"
    )


def _compare_draws(part: Part) -> Figures:
    """Check that equal logits give equal tokens on both devices, for all parameters."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(_SAMPLINGS), _VOCAB_SIZE, generator=generator) * 4
    draw = random.Random(3)
    prompt = tuple(draw.randrange(_VOCAB_SIZE) for _ in range(50))
    sampler = Sampler(_VOCAB_SIZE, EOS_TOKEN_IDS)
    num_draws = 0
    for turn in range(20):
        rows = logits.roll(37 * turn, dims=1)
        here, there = (
            sampler.sample(rows.to(device), [Row(make_sequence(prompt, s)) for s in _SAMPLINGS])
            for device in (torch.device("cpu"), part.device)
        )
        for sampling, one, other in zip(_SAMPLINGS, here, there, strict=True):
            if isinstance(one, SamplingError) or isinstance(other, SamplingError):
                raise Failed(f"{sampling}: {one}, {other}")
            if one.token_id != other.token_id:
                raise Failed(f"{sampling}: token {other.token_id}, not the CPU's {one.token_id}")
            if abs((one.logprob or 0.0) - (other.logprob or 0.0)) > 1e-4:
                raise Failed(f"{sampling}: logprob {other.logprob}, not the CPU's {one.logprob}")
            num_draws += 1
    return {"draws": num_draws}
