"""Checks that the bundled model, loaded as in the service, can add with each type of weights."""

import asyncio
from functools import partial
from importlib.util import find_spec
from typing import cast

from llm_service.engine import (
    Conversation,
    Engine,
    GenerationRequest,
    Prompt,
    SamplingParams,
    unobserved,
)
from llm_service.engine.budget import Budget
from llm_service.engine.config import Device, DType, EngineConfig, EngineKind, Quantization
from llm_service.engine.loading.factory import load_engine
from scripts.gpu_check.part import Failed, Figures, Part, Skipped

_QUESTION, _ANSWER = "What is 7 plus 5?", "12"
_MAX_TOKENS = 32
_SECONDS = 60.0


def run(part: Part) -> None:
    cases: tuple[tuple[str, DType, Quantization, EngineKind], ...] = (
        ("float32", "float32", "none", "batched"),
        ("bf16", "bfloat16", "none", "batched"),
        ("8bit", "bfloat16", "8bit", "batched"),
        ("NF4", "bfloat16", "4bit", "batched"),
        ("bf16, one request at a time", "bfloat16", "none", "sequential"),
    )
    for name, dtype, quantization, kind in cases:
        config = EngineConfig(
            device=cast(Device, part.device.type),
            dtype=dtype,
            quantization=quantization,
            engine=kind,
            kernels="none",
            max_batch_size=8,
        )
        part.check(f"pocket answers in {name}", partial(_ask, config))


def require_bitsandbytes() -> None:
    """Raise Skipped if weights cannot be rounded on CUDA."""
    missing = [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]
    if missing:
        raise Skipped(f"{' and '.join(missing)} cannot be imported: put wheels into --wheels")


def _ask(config: EngineConfig) -> Figures:
    if config.device == "cuda" and config.quantization != "none":
        require_bitsandbytes()
    engine = load_engine(config, unobserved, Budget())
    local = engine.info.local
    assert local is not None
    if local.device != config.device:
        raise Failed(f"it runs on {local.device}, not on {config.device}")
    text = asyncio.run(asyncio.wait_for(_answer(engine), _SECONDS))
    if _ANSWER not in text:
        raise Failed(f"{_QUESTION!r} was answered {text!r}, without {_ANSWER}")
    return {
        "answer": text,
        "dtype": local.dtype,
        "quantization": local.quantization,
        "weights_bytes": local.weights_bytes,
        "load_seconds": local.load_seconds,
    }


async def _answer(engine: Engine) -> str:
    await engine.start()
    try:
        ids = engine.tokenizer.encode_chat(Conversation([{"role": "user", "content": _QUESTION}]))
        sampling = SamplingParams(_MAX_TOKENS, temperature=0.0)
        stream = engine.submit(GenerationRequest("sum", Prompt(tuple(ids)), sampling))
        return "".join([chunk.text async for _, chunk in stream])
    finally:
        await engine.stop(drain_seconds=1.0)
