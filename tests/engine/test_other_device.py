"""The engine off the CPU: everything that it computes with is on the model's own device.

Run in a process of its own, since a device cannot be taken away from PyTorch again.
"""

import json
import random
import subprocess
import sys
from typing import Any

import pytest
import torch

from llm_service.engine.batched.row import Row
from llm_service.engine.batched.sampler import SampledToken, Sampler
from llm_service.engine.request import SamplingParams
from tests.engine.cores import GREEDY, PROMPTS, make_core, make_sequence, output, run_to_end
from tests.engine.masks import mask_of
from tests.engine.models import EOS_TOKEN_IDS, fresh_model, greedy_reference
from tests.support.other_device import MixedDevices, other_device

_ARCHITECTURES = ("qwen2", "gemma2")  # plain; with windows and soft-capping
_MAX_TOKENS = 6
_SAMPLINGS = (
    SamplingParams(1, temperature=0.0),
    SamplingParams(1, temperature=0.9, seed=1),
    SamplingParams(1, temperature=1.2, seed=2, top_k=40),
    SamplingParams(1, temperature=2.0, seed=3, top_p=0.9, min_p=0.001),
    SamplingParams(1, temperature=1.0, seed=4, repetition_penalty=1.3, frequency_penalty=0.5),
    SamplingParams(1, temperature=0.0, logit_bias={7: 100.0}, num_logprobs=3),
)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.engine.test_other_device"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_tensors_of_two_devices_do_not_mix(found: dict[str, Any]) -> None:
    """Else the tests below would prove nothing."""
    assert found["is_mixing_refused"]
    assert found["device"] != "cpu"


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_answers_off_the_cpu_are_what_generate_gives(
    found: dict[str, Any], architecture: str
) -> None:
    for prompt, token_ids in zip(PROMPTS, found["answers"][architecture], strict=True):
        expected = greedy_reference(architecture, prompt, GREEDY.max_tokens)
        assert tuple(token_ids) == expected[:_MAX_TOKENS]


def test_draws_off_the_cpu_are_those_on_it(found: dict[str, Any]) -> None:
    assert found["draws"] == _draws(torch.device("cpu"))


def _draws(device: torch.device) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(len(_SAMPLINGS), 300, generator=generator) * 4
    draw = random.Random(3)
    prompt = tuple(draw.randrange(300) for _ in range(20))
    sequences = [make_sequence(prompt, sampling) for sampling in _SAMPLINGS]
    sampler, mask = Sampler(300, EOS_TOKEN_IDS), mask_of(range(100, 200), 300)
    token_ids = []
    for rows in (
        [Row(sequence) for sequence in sequences],
        [Row(sequence, draft=prompt[:2], allowed=mask) for sequence in sequences],
    ):
        for token in sampler.sample(logits.to(device), rows):
            assert isinstance(token, SampledToken)
            token_ids.append(token.token_id)
    return token_ids


def _answers(architecture: str, device: torch.device) -> list[tuple[int, ...]]:
    """In chunks, with a KV cache that does not hold all sequences at once."""
    core = make_core(fresh_model(architecture, device), num_blocks=18, max_batched_tokens=24)
    sampling = SamplingParams(_MAX_TOKENS, temperature=0.0)
    sequences = [make_sequence(prompt, sampling) for prompt in PROMPTS]
    for sequence in sequences:
        core.add(sequence)
    run_to_end(core)
    return [output(sequence) for sequence in sequences]


def _is_mixing_refused(device: torch.device) -> bool:
    try:
        torch.zeros(3, device=device) + torch.zeros(3)
    except MixedDevices:
        return True
    return False


def main() -> None:
    torch.set_num_threads(1)
    with other_device() as device:
        found = {
            "device": str(torch.zeros(1, device=device).device),
            "is_mixing_refused": _is_mixing_refused(device),
            "answers": {name: _answers(name, device) for name in _ARCHITECTURES},
            "draws": _draws(device),
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
