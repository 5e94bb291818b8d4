"""Engine cores and engines over tiny models, sized in blocks."""

import random
import time
from functools import cache
from typing import TypedDict, Unpack

from transformers import PreTrainedModel

from llm_service.engine import EngineObserver, NullObserver
from llm_service.engine.batched.core import EngineCore, StepResult
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.budget import Turn
from llm_service.engine.config import EngineConfig, Speculation
from llm_service.engine.kernels.kv_cache import block_bytes
from llm_service.engine.loading.factory import batched_engine, build_core, model_info
from llm_service.engine.loading.loader import Resources
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from llm_service.engine.vocabulary import Vocabulary
from tests.engine.models import (
    EOS_TOKEN_IDS,
    MAX_CONTEXT,
    VOCAB_SIZE,
    byte_tokenizer,
    loaded_model,
    shapes_of,
)

BLOCK_SIZE = 4
GREEDY = SamplingParams(max_tokens=24, temperature=0.0)


def _prompts() -> list[tuple[int, ...]]:
    """Short and long ones, some the prefix of another, one longer than any window."""
    draw = random.Random(7)
    base = tuple(draw.randrange(8, 256) for _ in range(48))
    other = tuple(draw.randrange(8, 256) for _ in range(20))
    return [base[:1], base[:9], base[:17] + other[:6], base[:16], base, other]


PROMPTS = _prompts()
QUICK_BACKOFF = Backoff(first_seconds=0.01, max_seconds=0.05)


class Size(TypedDict, total=False):
    """What tests vary; `_configured` has the defaults."""

    num_blocks: int
    block_size: int
    max_batch_size: int
    max_batched_tokens: int
    max_waiting: int
    prefix_cache: bool
    speculation: Speculation


def make_engine(
    model: PreTrainedModel,
    observer: EngineObserver | None = None,
    *,
    turn: Turn | None = None,
    **size: Unpack[Size],
) -> BatchedEngine:
    resources, config = _configured(model, **size)
    loaded = loaded_model(model, layer_shapes=shapes_of(model))
    return batched_engine(
        loaded,
        model_info(loaded, resources, config),
        config,
        lambda info: observer or NullObserver(),
        turn=turn,
        backoff=QUICK_BACKOFF,
    )


def make_core(model: PreTrainedModel, **size: Unpack[Size]) -> EngineCore:
    resources, config = _configured(model, **size)
    loaded = loaded_model(model, layer_shapes=shapes_of(model))
    info = model_info(loaded, resources, config)
    return build_core(loaded, info, config)


def _configured(
    model: PreTrainedModel,
    *,
    num_blocks: int = 64,
    block_size: int = BLOCK_SIZE,
    max_batch_size: int = 8,
    max_batched_tokens: int = 32,
    max_waiting: int = 256,
    prefix_cache: bool = True,
    speculation: Speculation = "prompt_lookup",
) -> tuple[Resources, EngineConfig]:
    bytes_per_block = block_bytes(shapes_of(model), block_size, model.dtype)
    config = EngineConfig(
        max_batched_tokens=max_batched_tokens,
        block_size=block_size,
        prefix_cache=prefix_cache,
        speculation=speculation,
        max_waiting=max_waiting,
    )
    resources = Resources(
        threads=1,
        kv_cache_bytes=num_blocks * bytes_per_block,
        max_batch_size=max_batch_size,
        max_context=MAX_CONTEXT,
    )
    return resources, config


def make_sequence(
    prompt: tuple[int, ...],
    sampling: SamplingParams = GREEDY,
    *,
    request_id: str = "r",
    cache_salt: str = "",
) -> Sequence:
    request = GenerationRequest(request_id, Prompt(prompt), sampling, cache_salt)
    return Sequence.from_request(request, time.monotonic())


def output(sequence: Sequence) -> tuple[int, ...]:
    return tuple(sequence.token_ids[sequence.num_prompt_tokens :])


def run_to_end(core: EngineCore) -> list[StepResult]:
    """Step until nothing is left, with the books checked after each step."""
    results = []
    while core.has_work:
        results.append(core.step())
        core.check_integrity()
    core.check_is_idle()
    return results


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(byte_tokenizer(), size=VOCAB_SIZE, eos_token_ids=EOS_TOKEN_IDS)
