"""The sequential engine: `generate` itself, one at a time, under the same contract."""

import asyncio
import dataclasses
import threading
import time
from functools import cache
from typing import Any

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM, PreTrainedModel

from llm_service.engine import FinishReason, SamplingParams
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.factory import model_info
from llm_service.engine.loading.loader import Resources
from llm_service.engine.sequential import SequentialEngine
from llm_service.errors import (
    DeadlineExceeded,
    EngineFailed,
    Overloaded,
    RequestCancelled,
    Unavailable,
)
from tests.engine.cores import GREEDY, QUICK_BACKOFF, make_engine
from tests.engine.models import (
    EOS,
    EOS_TOKEN_IDS,
    MAX_CONTEXT,
    VOCAB_SIZE,
    fresh_model,
    greedy_reference,
    loaded_model,
)
from tests.engine.test_batched_engine import (
    ENDLESS,
    PATIENCE_SECONDS,
    PROMPT,
    Gate,
    Recorder,
    ask,
    first_chunk,
    running,
    tokens,
)

pytestmark = pytest.mark.anyio


def sequential(
    model: PreTrainedModel, recorder: Recorder, max_waiting: int = 8
) -> SequentialEngine:
    loaded = loaded_model(model)
    resources = Resources(threads=1, kv_cache_bytes=0, max_batch_size=1, max_context=MAX_CONTEXT)
    config = EngineConfig(engine="sequential", max_waiting=max_waiting)
    return SequentialEngine(
        loaded.model,
        loaded.tokenizer,
        model_info(loaded, resources, config),
        lambda info: recorder,
        eos_token_ids=loaded.eos_token_ids,
        model_format=loaded.format,
        backoff=QUICK_BACKOFF,
    )


@cache
def mamba() -> PreTrainedModel:
    """A model without attention, which only this engine can serve."""
    config = MambaConfig(vocab_size=VOCAB_SIZE, hidden_size=16, num_hidden_layers=2, state_size=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MambaForCausalLM(config).eval()


def generating_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "generate"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert generating_threads() == []


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
async def test_greedy_answers_are_those_of_generate(architecture: str) -> None:
    async with running(sequential(fresh_model(architecture), Recorder())) as engine:
        answer = await tokens(engine.submit(ask()))
    assert answer == greedy_reference(architecture, PROMPT, GREEDY.max_tokens)


async def test_a_model_that_cannot_be_batched_is_served() -> None:
    model: Any = mamba()
    expected = model.generate(
        torch.tensor([PROMPT]),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    sampling = dataclasses.replace(GREEDY, ignore_eos=True)
    async with running(sequential(mamba(), Recorder())) as engine:
        assert engine.info.engine == "sequential"
        assert await tokens(engine.submit(ask(sampling=sampling))) == tuple(
            expected[0, len(PROMPT) :].tolist()
        )


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(max_tokens=30, seed=7, temperature=0.9, top_p=0.95, num_logprobs=2),
        SamplingParams(max_tokens=30, seed=8, top_k=20, min_p=0.02, presence_penalty=1.0),
        SamplingParams(max_tokens=30, seed=9, repetition_penalty=1.3, logit_bias={65: 4.0}),
        SamplingParams(
            max_tokens=30, temperature=0.0, stop=("a", "e", "\n"), frequency_penalty=0.5
        ),
    ],
)
async def test_both_engines_mean_the_same_by_every_parameter(sampling: SamplingParams) -> None:
    answers = []
    for engine in (
        make_engine(fresh_model("qwen2")),
        sequential(fresh_model("qwen2"), Recorder()),
    ):
        async with running(engine):
            stream = engine.submit(ask(sampling=sampling))
            chunks = [chunk async for _, chunk in stream]
            answers.append(
                [
                    (c.text, c.token_ids, c.finish_reason, [p.chosen.token_id for p in c.logprobs])
                    for c in chunks
                ]
            )
    assert answers[0] == answers[1]


async def test_tokens_come_one_by_one_with_timings_and_usage() -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    async with running(sequential(model, recorder)) as engine:
        gate.shut()
        stream = engine.submit(ask(sampling=ENDLESS))
        await gate.arrival()
        gate.let_one_pass()
        await first_chunk(stream)  # while the second token is not even begun
        await gate.arrival()
        assert stream.sequences[0].usage.num_output_tokens == 1
        assert stream.sequences[0].timings.finished is None
        stream.abort()
        gate.open()
        with pytest.raises(RequestCancelled):
            await tokens(stream)
    assert stream.sequences[0].timings.first_token is not None
    assert stream.sequences[0].timings.finished is not None


async def test_the_models_own_sampling_settings_are_not_applied_a_second_time() -> None:
    model = fresh_model("llama")
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.suppress_tokens = list(range(100))
    model.generation_config.eos_token_id = list(range(VOCAB_SIZE))
    async with running(sequential(model, Recorder())) as engine:
        answer = await tokens(engine.submit(ask()))
    assert answer == greedy_reference("llama", PROMPT, GREEDY.max_tokens)


async def test_answers_end_at_the_context_and_at_end_of_sequence() -> None:
    async with running(sequential(fresh_model("llama"), Recorder())) as engine:
        stream = engine.submit(ask(sampling=dataclasses.replace(ENDLESS, max_tokens=10_000)))
        chunks = [chunk async for _, chunk in stream]
        assert chunks[-1].finish_reason is FinishReason.LENGTH
        assert stream.sequences[0].usage.num_output_tokens == MAX_CONTEXT - len(PROMPT)
        biased = dataclasses.replace(GREEDY, logit_bias={EOS: 1000.0})
        chunks = [chunk async for _, chunk in engine.submit(ask(sampling=biased))]
        assert [(c.text, c.finish_reason) for c in chunks] == [("", FinishReason.STOP)]
    assert EOS in EOS_TOKEN_IDS


async def test_requests_wait_for_one_another_and_all_are_answered() -> None:
    async with running(sequential(fresh_model("llama"), Recorder())) as engine:
        prompts = [PROMPT[i:] for i in range(4)]
        streams = [engine.submit(ask(prompt)) for prompt in prompts]
        await first_chunk(streams[0])
        assert engine.status().num_running == 1
        rest, *answers = await asyncio.gather(*map(tokens, streams))
    first, *others = prompts
    assert rest == greedy_reference("llama", first, GREEDY.max_tokens)[1:]
    for prompt, answer in zip(others, answers, strict=True):
        assert answer == greedy_reference("llama", prompt, GREEDY.max_tokens)


async def test_a_full_queue_is_refused() -> None:
    model = fresh_model("llama")
    gate = Gate(model)
    async with running(sequential(model, Recorder(), max_waiting=1)) as engine:
        gate.shut()
        streams = [engine.submit(ask(sampling=ENDLESS)), engine.submit(ask())]
        with pytest.raises(Overloaded):
            engine.submit(ask())
        streams[0].abort()
        gate.open()
        assert await tokens(streams[1]) == greedy_reference("llama", PROMPT, GREEDY.max_tokens)


@pytest.mark.parametrize("num_steps", [0, 3])
async def test_an_abort_ends_the_generation_within_one_step(num_steps: int) -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    async with running(sequential(model, recorder)) as engine:
        gate.shut()
        stream = engine.submit(ask(sampling=ENDLESS))
        await gate.arrival()
        for _ in range(num_steps):
            gate.let_one_pass()
            await gate.arrival()
        stream.abort()
        gate.open()
        with pytest.raises(RequestCancelled):
            await tokens(stream)
        await recorder.until(lambda: engine.status().num_running == 0)
        assert stream.sequences[0].usage.num_output_tokens == num_steps + 1
        assert generating_threads() == []


async def test_a_request_past_its_deadline_ends_and_the_next_one_runs() -> None:
    async with running(sequential(fresh_model("llama"), Recorder())) as engine:
        late = engine.submit(ask(sampling=ENDLESS, deadline=time.monotonic()))
        with pytest.raises(DeadlineExceeded):
            await tokens(late)
        assert await tokens(engine.submit(ask())) != ()


async def test_a_model_that_fails_is_told_and_the_engine_comes_back() -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    async with running(sequential(model, recorder)) as engine:
        stream = engine.submit(ask(sampling=ENDLESS))
        await first_chunk(stream)
        gate.error = RuntimeError("out of memory")
        with pytest.raises(EngineFailed):
            await tokens(stream)
        assert "out of memory" in str(recorder.named("failed")[0][0])
        assert not engine.status().is_ready
        gate.error = None
        await recorder.until(lambda: engine.status().is_ready)
        assert await tokens(engine.submit(ask())) != ()


async def test_stopping_ends_what_runs_with_an_error() -> None:
    engine = sequential(fresh_model("llama"), Recorder())
    async with running(engine):
        stream = engine.submit(ask(sampling=ENDLESS))
        await first_chunk(stream)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await engine.stop(0)
        with pytest.raises(Unavailable):
            await tokens(stream)
    for thread in threading.enumerate():
        if thread.name == "generate":
            thread.join(PATIENCE_SECONDS)
