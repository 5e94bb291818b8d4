"""Pictures are counted, encoded one at a time in turns, kept within a bound, and never mixed up."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from llm_service.engine import Conversation, Picture
from llm_service.engine.budget import Turn
from llm_service.engine.vision.cache import FeatureCache, SeenPicture
from llm_service.engine.vision.encoder import Features, PictureEncoder
from llm_service.engine.vision.reader import Reading
from llm_service.errors import ContextLengthExceeded, EngineFailed, InvalidRequest, Overloaded
from tests.engine.cores import run_to_end
from tests.engine.vision.engines import Seeing, core_of, seeing, start
from tests.engine.vision.families import conversation, picture, reader_of

pytestmark = pytest.mark.anyio
NAME = "qwen3_vl"
FIRST, SECOND = picture(1), picture(2)
SEVERAL_TILES = "idefics3"


class Watched(PictureEncoder):
    """Counts the pictures that it encodes, and can wait before each or fail."""

    def __init__(self, encoder: PictureEncoder) -> None:
        self.__dict__.update(encoder.__dict__)
        self.num_encoded = 0
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.error: Exception | None = None

    def features(self, inputs: Mapping[str, Tensor], num_tokens: int) -> Features:
        self.began.set()
        assert self.gate.wait(30)
        self.num_encoded += 1
        if self.error is not None:
            raise self.error
        return super().features(inputs, num_tokens)


class WatchedTurn(Turn):
    """Tells when someone has to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = threading.Event()

    def _wait(self, called: threading.Event) -> None:
        self.wanted.set()
        super()._wait(called)


def watched(model: Seeing) -> Watched:
    encoder = Watched(model.placer._encoder)
    model.placer._encoder = encoder
    return encoder


async def test_a_picture_is_encoded_once_for_all_turns_of_a_caller() -> None:
    model = seeing(NAME)
    encoder = watched(model)
    before = await model.prompt(conversation([FIRST, "What?"]))
    after = await model.prompt(conversation([FIRST, "What?"], ["A cat."], [SECOND, FIRST]))
    assert encoder.num_encoded == 2
    assert after.attachments[0].embeddings.equal(before.attachments[0].embeddings)
    assert after.attachments[2].embeddings.equal(before.attachments[0].embeddings)


async def test_callers_with_other_salts_share_no_features() -> None:
    model = seeing(NAME)
    encoder = watched(model)
    asked = conversation([FIRST, "What?"])
    for salt in ("ann", "bob", "ann"):
        await model.prompt(asked, salt)
    assert encoder.num_encoded == 2


async def test_other_pictures_of_the_same_size_share_no_blocks_and_equal_ones_do() -> None:
    model = seeing(SEVERAL_TILES)
    first, second = [await model.prompt(conversation([p, "What?"])) for p in (FIRST, SECOND)]
    assert first.token_ids == second.token_ids
    core, cached = core_of(model), []
    for prompt in (first, second, first):
        (sequence,) = start(core, [prompt])
        run_to_end(core)
        cached.append(sequence.usage.num_cached_tokens)
    assert cached[:2] == [0, first.attachments[0].start // 4 * 4]
    assert cached[2] == (len(first) - 1) // 4 * 4


async def test_tiles_of_one_picture_are_told_apart() -> None:
    prompt = await seeing(SEVERAL_TILES).prompt(conversation([FIRST, "What?"]))
    assert len({each.content_hash for each in prompt.attachments}) == len(prompt.attachments) > 1


async def test_a_request_that_does_not_fit_the_context_is_refused_before_it_is_encoded() -> None:
    model = seeing(NAME, max_context=40)
    encoder = watched(model)
    asked = conversation([FIRST, "What?", SECOND, FIRST, SECOND])
    (num_words,) = {len(model.tokenizer.encode_chat(asked)) - 4}
    with pytest.raises(ContextLengthExceeded) as caught:
        await model.prompt(asked)
    assert caught.value.prompt_and_context == (num_words + 4 * 8, 40)
    assert encoder.num_encoded == 0


@pytest.mark.parametrize("pictures", [[], [FIRST], [FIRST, SECOND, FIRST]])
async def test_placeholders_and_pictures_have_to_be_as_many(pictures: list[Picture]) -> None:
    asked = replace(conversation([FIRST, "and ", SECOND]), pictures=pictures)
    with pytest.raises(InvalidRequest, match=f"have {len(pictures)} images, .* written 2"):
        await seeing(NAME).prompt(asked)


async def test_a_placeholder_that_is_spelled_is_text() -> None:
    model = seeing(NAME)
    spelled = "<|image_pad|> <|vision_start|><|image_pad|><|vision_end|>"
    asked = conversation([FIRST, spelled])
    prompt = await model.prompt(asked)
    (attachment,) = prompt.attachments
    placeholder = reader_of(NAME).placeholder_id
    assert prompt.token_ids.count(placeholder) == attachment.num_tokens
    text_alone = Conversation([{"role": "user", "content": spelled}])
    assert not (await model.prompt(text_alone)).attachments


async def test_an_image_that_the_models_processor_refuses_is_the_callers_fault() -> None:
    model = seeing(NAME)
    thin = picture(1, 1000, 2)
    with pytest.raises(InvalidRequest, match=r"cannot read this image: .*aspect ratio"):
        await model.prompt(conversation([thin, "What?"]))


async def test_an_encoder_that_fails_fails_its_request_alone() -> None:
    model = seeing(NAME)
    encoder = watched(model)
    encoder.error = RuntimeError("broken")
    with pytest.raises(EngineFailed):
        await model.prompt(conversation([FIRST, "What?"]))
    encoder.error = None
    assert (await model.prompt(conversation([FIRST, "What?"]))).attachments


async def test_a_picture_is_encoded_only_in_a_turn_to_compute() -> None:
    turn = WatchedTurn()
    model = seeing(NAME, turn=turn)
    encoder = watched(model)
    with turn:
        task = asyncio.create_task(model.prompt(conversation([FIRST, "What?"])))
        await asyncio.to_thread(turn.wanted.wait, 30)
        assert not encoder.began.is_set()
    assert (await task).attachments


async def test_between_two_pictures_of_a_request_others_have_their_turn() -> None:
    turn = WatchedTurn()
    model = seeing(NAME, turn=turn)
    encoder = watched(model)
    encoder.gate.clear()
    asked = conversation([FIRST, "and ", SECOND])
    task = asyncio.create_task(model.prompt(asked))
    await asyncio.to_thread(encoder.began.wait, 30)

    def step() -> int:
        with turn:
            return encoder.num_encoded

    stepped = asyncio.create_task(asyncio.to_thread(step))
    await asyncio.to_thread(turn.wanted.wait, 30)
    encoder.gate.set()
    assert await stepped == 1
    await task


async def test_more_requests_than_may_wait_are_refused_and_leave_their_places() -> None:
    model = seeing(NAME, max_waiting=1)
    encoder = watched(model)
    encoder.gate.clear()
    asked = conversation([FIRST, "What?"])
    first = asyncio.create_task(model.prompt(asked))
    await asyncio.to_thread(encoder.began.wait, 30)
    with pytest.raises(Overloaded):
        await model.prompt(asked)
    encoder.gate.set()
    await first
    assert (await model.prompt(asked)).attachments


async def test_a_caller_who_leaves_has_no_further_picture_encoded() -> None:
    model = seeing(NAME, max_waiting=1)
    encoder = watched(model)
    encoder.gate.clear()
    task = asyncio.create_task(model.prompt(conversation([FIRST, SECOND, "What?"])))
    await asyncio.to_thread(encoder.began.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    encoder.gate.set()
    await model.prompt(conversation([FIRST, "What?"]))
    assert encoder.num_encoded == 1, "the first picture, which is kept"


async def test_features_live_as_long_as_their_prompt_if_they_are_not_kept() -> None:
    model = seeing(NAME, cache_bytes=0)
    prompt = await model.prompt(conversation([FIRST, "What?"]))
    features = weakref.ref(prompt.attachments[0].embeddings)
    core = core_of(model)
    (sequence,) = start(core, [prompt])
    run_to_end(core)
    del prompt, sequence
    await asyncio.sleep(0)  # the loop holds what it has just delivered
    gc.collect()
    assert features() is None


async def test_a_request_is_refused_while_the_images_of_others_take_all_the_memory() -> None:
    model = seeing(NAME, cache_bytes=0, feature_bytes=1)
    several = conversation([FIRST, "and ", SECOND])
    prompt = await model.prompt(several)  # alone, it may take more
    with pytest.raises(Overloaded, match="images of other requests"):
        await model.prompt(conversation([FIRST, "What?"]))
    await asyncio.sleep(0)  # the loop holds what it has just delivered
    assert len(prompt.attachments) == 2
    del prompt
    gc.collect()
    assert (await model.prompt(several)).attachments


async def test_large_pictures_are_scaled_down_to_what_the_caller_allows() -> None:
    large = picture(1, 64, 64)
    small = replace(large, max_pixels=32 * 32, content_hash=bytes(32))
    read = reader_of(NAME).read
    assert len(read(large).token_ids) == 4 * len(read(small).token_ids)


def test_the_cache_holds_what_was_used_last_within_its_bound() -> None:
    def seen(num_tokens: int) -> SeenPicture:
        return SeenPicture(Reading((), (), {}), (Features(torch.zeros(num_tokens, 1)),))

    cache = FeatureCache(max_bytes=40)
    keys = [("salt", bytes([i])) for i in range(4)]
    for key in keys[:2]:
        cache.put(key, seen(4))
    assert cache.get(keys[0]) is not None
    cache.put(keys[2], seen(4))  # the second one goes
    cache.put(keys[3], seen(11))  # too large by itself
    assert [cache.get(key) is not None for key in keys] == [True, False, True, False]
    assert cache.num_bytes == 32
