"""Checks that a cancelled request frees its slot and blocks at once and affects no other."""

import asyncio
from functools import partial

from transformers import PreTrainedModel

from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest
from llm_service.errors import RequestCancelled
from scripts.gpu_check.part import Failed, Figures, Part, use_one_thread
from tests.engine.cores import (
    GREEDY,
    PROMPTS,
    make_core,
    make_engine,
    make_sequence,
    output,
    run_to_end,
)
from tests.engine.models import fresh_model, generate_greedily

_ARCHITECTURE = "qwen2"
_SECONDS = 60.0


def run(part: Part) -> None:
    use_one_thread()
    reference = fresh_model(_ARCHITECTURE, part.device)
    expected = generate_greedily(reference, PROMPTS[1], GREEDY.max_tokens)
    model = fresh_model(_ARCHITECTURE, part.device)
    for phase in ("queue", "prefill", "decode"):
        part.check(f"leaves in {phase}", partial(_leave, model, phase, expected))
    part.check("leaves the running engine", partial(_leave_engine, model, expected))


def _leave(model: PreTrainedModel, phase: str, expected: tuple[int, ...]) -> Figures:
    core = make_core(model, max_batch_size=1 if phase == "queue" else 4, max_batched_tokens=8)
    stays, leaves = make_sequence(PROMPTS[1]), make_sequence(PROMPTS[4])
    for sequence in (stays, leaves):
        core.add(sequence)
    core.step()
    while core.has_work and phase != "queue" and leaves.phase != phase:
        core.step()
    if leaves.phase != phase:
        raise Failed(f"the request is in {leaves.phase}, not in {phase}")
    num_held = len(leaves.block_table)
    core.abort(leaves, RequestCancelled("left"))
    core.check_integrity()
    if leaves.block_table:
        raise Failed(f"it still holds {len(leaves.block_table)} of {num_held} blocks")
    run_to_end(core)
    return {"blocks_held": num_held, **_compared(stays, expected)}


def _compared(sequence: Sequence, expected: tuple[int, ...]) -> Figures:
    if output(sequence) != expected:
        raise Failed(f"the other request's answer is {output(sequence)}, not {expected}")
    return {"tokens_of_the_other": len(expected)}


def _leave_engine(model: PreTrainedModel, expected: tuple[int, ...]) -> Figures:
    """Cancel through the engine's thread, as the service does."""
    return asyncio.run(asyncio.wait_for(_leave_stream(model, expected), _SECONDS))


async def _leave_stream(model: PreTrainedModel, expected: tuple[int, ...]) -> Figures:
    engine = make_engine(model)
    await engine.start()
    try:
        stays = engine.submit(GenerationRequest("stays", Prompt(PROMPTS[1]), GREEDY))
        leaves = engine.submit(GenerationRequest("leaves", Prompt(PROMPTS[4]), GREEDY))
        await anext(leaves)
        leaves.abort()
        try:
            async for _ in leaves:
                pass
            raise Failed("the request that left was answered to its end")
        except RequestCancelled:
            pass
        token_ids = tuple([i async for _, chunk in stays for i in chunk.token_ids])
        used = engine.status().kv_cache_used_bytes
    finally:
        await engine.stop(drain_seconds=1.0)
    if token_ids != expected:
        raise Failed(f"the other request's answer is {token_ids}, not {expected}")
    if used:
        raise Failed(f"{used} bytes of the KV cache are held, though no request is left")
    return {"tokens_of_the_other": len(token_ids)}
