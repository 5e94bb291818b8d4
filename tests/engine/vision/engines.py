"""Engine cores and placers over tiny models that see."""

import functools
import time
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, replace
from typing import Any

from llm_service.engine import Conversation, GenerationRequest, Prompt, SamplingParams
from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.budget import Turn
from llm_service.engine.config import EngineConfig, Quantization
from llm_service.engine.kernels.kv_cache import block_bytes
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.language_part import LanguagePart
from llm_service.engine.loading.loader import LoadedModel, Resources
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vision.encoder import PictureEncoder
from llm_service.engine.vision.placer import Limits, PicturePlacer
from tests.engine.models import loaded_model, prepare, shapes_of
from tests.engine.vision.families import MAX_CONTEXT, reader_of, tokenizer_of, whole_model

GREEDY = SamplingParams(max_tokens=16, temperature=0.0)


@dataclass(frozen=True)
class Seeing:
    """A loaded model that sees, and what belongs to it."""

    loaded: LoadedModel
    placer: PicturePlacer
    tokenizer: SealedTokenizer

    async def prompt(self, asked: Conversation, salt: str = "") -> Prompt:
        token_ids = self.tokenizer.encode_chat(asked)
        return await self.placer.place(token_ids, asked.pictures, salt)


@functools.cache
def language_of(name: str, scheme: Quantization | None = None) -> LanguagePart:
    """The part of a model that an engine runs; with `scheme`, in the form that a plan chooses."""
    part = LanguagePart(whole_model(name))
    part.take_over(None)
    if scheme is not None:
        assert prepare(part, scheme)[0].is_fused
    return part


def seeing(
    name: str,
    scheme: Quantization | None = None,
    *,
    max_context: int = MAX_CONTEXT,
    max_waiting: int = 8,
    cache_bytes: int = 2**20,
    feature_bytes: int = 2**24,
    turn: Turn | None = None,
) -> Seeing:
    part = language_of(name, scheme)
    loaded = replace(
        loaded_model(part, layer_shapes=shapes_of(part)),
        tokenizer=tokenizer_of(name),
        reader=reader_of(name),
    )
    limits = Limits(max_context, max_waiting, cache_bytes, feature_bytes)
    encoder = PictureEncoder(part.whole)
    placer = PicturePlacer(reader_of(name), encoder, limits, turn=turn or Turn(), threads=1)
    return Seeing(loaded, placer, SealedTokenizer(tokenizer_of(name)))


def core_of(
    see: Seeing,
    *,
    num_blocks: int = 200,
    block_size: int = 4,
    max_batched_tokens: int = 64,
    prefix_cache: bool = True,
    **options: Any,
) -> EngineCore:
    shapes = shapes_of(see.loaded.model)
    config = EngineConfig(
        max_batched_tokens=max_batched_tokens,
        block_size=block_size,
        prefix_cache=prefix_cache,
        **options,
    )
    resources = Resources(
        threads=1,
        kv_cache_bytes=num_blocks * block_bytes(shapes, block_size, see.loaded.form.kv_dtype),
        max_batch_size=8,
        max_context=min(MAX_CONTEXT, num_blocks * block_size),
    )
    return build_core(see.loaded, model_info(see.loaded, resources, config), config)


def sequence(prompt: Prompt, sampling: SamplingParams = GREEDY, salt: str = "") -> Sequence:
    request = GenerationRequest("r", prompt, sampling, salt)
    return Sequence.from_request(request, time.monotonic())


def start(core: EngineCore, prompts: Ordered[Prompt], salt: str = "") -> list[Sequence]:
    sequences = [sequence(prompt, salt=salt) for prompt in prompts]
    for each in sequences:
        core.add(each)
    return sequences
