"""Models that cannot be batched see through their own `generate`."""

from dataclasses import replace

import pytest

from llm_service.engine import GenerationRequest, NullObserver
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.factory import model_info
from llm_service.engine.loading.loader import Resources
from llm_service.engine.sequential import SequentialEngine
from llm_service.engine.vision.inputs import InputsPlacer
from llm_service.errors import ContextLengthExceeded, InvalidRequest
from tests.engine.models import EOS_TOKEN_IDS, loaded_model
from tests.engine.test_batched_engine import running, tokens
from tests.engine.vision.engines import GREEDY
from tests.engine.vision.families import (
    MAX_CONTEXT,
    SEQUENTIAL,
    answer_of,
    conversation,
    inputs_of,
    picture,
    reader_of,
    tokenizer_of,
    whole_model,
)

pytestmark = pytest.mark.anyio
FIRST, SECOND = picture(1), picture(2, 90, 30)


def engine_of(name: str) -> SequentialEngine:
    loaded = replace(
        loaded_model(whole_model(name)), tokenizer=tokenizer_of(name), reader=reader_of(name)
    )
    resources = Resources(threads=1, kv_cache_bytes=0, max_batch_size=1, max_context=MAX_CONTEXT)
    info = model_info(loaded, resources, EngineConfig(engine="sequential"))
    return SequentialEngine(
        loaded.model,
        loaded.tokenizer,
        info,
        lambda info: NullObserver(),
        eos_token_ids=EOS_TOKEN_IDS,
        model_format=loaded.format,
        vision=InputsPlacer(reader_of(name), MAX_CONTEXT, max_waiting=8),
    )


@pytest.mark.parametrize("name", [*SEQUENTIAL, "qwen3_vl", "idefics3"])
async def test_images_are_answered_as_by_generate(name: str) -> None:
    asked = [
        conversation([FIRST, "What is this?"]),
        conversation(["Tell me a story."]),
        conversation([SECOND, "and ", FIRST], ["A cat."], ["Sure? ", SECOND]),
    ]
    async with running(engine_of(name)) as engine:
        assert engine.info.sees
        assert engine.vision is not None
        for each in asked:
            token_ids = engine.tokenizer.encode_chat(each)
            prompt = await engine.vision.place(token_ids, each.pictures, "")
            assert list(prompt.token_ids) == inputs_of(name, each)["input_ids"][0].tolist()
            found = await tokens(engine.submit(GenerationRequest("r", prompt, GREEDY)))
            assert found == answer_of(name, each, GREEDY.max_tokens)


async def test_images_that_do_not_fit_the_context_are_refused() -> None:
    placer = InputsPlacer(reader_of("gemma3"), max_context=20, max_waiting=1)
    placeholder = reader_of("gemma3").placeholder_id
    with pytest.raises(ContextLengthExceeded):
        await placer.place([placeholder] * 3, [FIRST] * 3, "")
    with pytest.raises(InvalidRequest, match=r"2 images, .* 3"):
        await placer.place([placeholder] * 3, [FIRST] * 2, "")
