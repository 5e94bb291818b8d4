"""POST /v1/completions: text in, text out, without a chat template."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_service.api.dependencies import CurrentServices, InferenceKey, check_model
from llm_service.api.generation import Answer, Generation, allowed_tokens
from llm_service.api.responses import (
    Completion,
    CompletionChoice,
    completion_logprobs,
)
from llm_service.api.schemas import CompletionRequest, unknown_fields
from llm_service.api.sse import respond
from llm_service.engine import Engine, GenerationChunk
from llm_service.errors import InvalidRequest

router = APIRouter()

# As OpenAI's: this endpoint answers briefly unless told otherwise.
DEFAULT_MAX_TOKENS = 16


@router.post("/v1/completions", response_model=Completion)
async def create_completion(
    body: CompletionRequest, request: Request, key: InferenceKey, services: CurrentServices
) -> Response:
    """Continue one or several prompts, given as text or as token ids."""
    engine = services.engine.get()
    check_model(engine, body.model)
    body.refuse_unsupported()
    services.log_unknown_fields(unknown_fields(body))
    prompts = [await _token_ids(prompt, engine) for prompt in body.prompts()]
    samplings = [
        body.sampling(
            dict(engine.info.default_sampling),
            max_tokens=_max_tokens(len(prompt), body.requested_tokens, engine),
            num_logprobs=body.logprobs,
            vocab_size=engine.info.vocab_size,
        )
        for prompt in prompts
    ]
    generation = await Generation.open(
        services,
        request,
        key,
        prompts,
        samplings,
        choices_per_prompt=body.n or 1,
        is_stream=body.stream,
    )
    wire = CompletionFormat(generation, body.includes_usage)
    return await respond(request, generation, wire, is_stream=body.stream)


def _max_tokens(prompt_tokens: int, requested: int | None, engine: Engine) -> int:
    if requested is None:
        return min(DEFAULT_MAX_TOKENS, allowed_tokens(prompt_tokens, None, engine))
    return allowed_tokens(prompt_tokens, requested, engine)


async def _token_ids(prompt: str | list[int], engine: Engine) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return tuple(await asyncio.to_thread(engine.tokenizer.encode_text, prompt))
    if any(token_id >= engine.info.vocab_size for token_id in prompt):
        raise InvalidRequest(f"Token ids must be below {engine.info.vocab_size}.", param="prompt")
    return tuple(prompt)


class CompletionFormat:
    """A text answer as `text_completion`, whole or in increments."""

    def __init__(self, generation: Generation, includes_usage: bool) -> None:
        record = generation.record
        self.includes_usage = includes_usage
        self._head = {
            "id": f"cmpl-{record.request_id}",
            "created": int(time.time()),
            "model": record.model,
        }
        self._answers = [Answer() for _ in range(generation.num_choices)]

    def opening(self) -> list[dict[str, Any]]:
        return []

    def delta(self, index: int, chunk: GenerationChunk) -> dict[str, Any]:
        answer = self._answers[index]
        offset = sum(len(position.chosen.text) for position in answer.logprobs)
        answer.add(chunk)
        logprobs = list(chunk.logprobs)
        wire = CompletionChoice(
            index=index,
            text=chunk.text,
            logprobs=completion_logprobs(logprobs, offset) if logprobs else None,
            finish_reason=chunk.finish_reason,
        )
        return {**self._head, "object": "text_completion", "choices": [wire.model_dump()]}

    def usage(self, generation: Generation) -> dict[str, Any]:
        usage = generation.usage().model_dump()
        return {**self._head, "object": "text_completion", "choices": [], "usage": usage}

    def whole(self, generation: Generation) -> Completion:
        return Completion(
            **self._head,
            choices=[_choice(index, answer) for index, answer in enumerate(self._answers)],
            usage=generation.usage(),
        )


def _choice(index: int, answer: Answer) -> CompletionChoice:
    return CompletionChoice(
        index=index,
        text=answer.text,
        logprobs=completion_logprobs(answer.logprobs, 0) if answer.logprobs else None,
        finish_reason=answer.finish_reason,
    )
