"""POST /v1/completions: text in, text out, without a chat template."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from llm_service.api.dependencies import (
    AdmissionDep,
    InferenceKey,
    ModelsDep,
    RunningDep,
    UnknownFieldsDep,
)
from llm_service.api.generation import Answer, Generation
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import allowed_tokens, text_token_ids
from llm_service.api.responses import (
    Completion,
    CompletionChoice,
    completion_logprobs,
)
from llm_service.api.schemas import CompletionRequest
from llm_service.api.sse import WireFormat, respond
from llm_service.engine import GenerationChunk, Prompt
from llm_service.engine.served import ServedModel
from llm_service.errors import InvalidRequest

router = APIRouter(route_class=JsonRoute)

# OpenAI's default: this endpoint answers briefly unless told otherwise.
DEFAULT_MAX_TOKENS = 16


@router.post("/v1/completions", response_model=Completion)
async def create_completion(
    body: CompletionRequest,
    request: Request,
    key: InferenceKey,
    models: ModelsDep,
    admission: AdmissionDep,
    running: RunningDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Continue one or several prompts, given as text or as token ids."""
    model = models.resolve(body.model)
    body.check_extra_fields(unknown_fields)
    texts = body.prompts()
    async with admission.charged(key, model.info, len(texts) * body.n) as permit:
        prompts = [await _token_ids(text, model) for text in texts]
        samplings = [
            body.sampling(
                dict(model.info.default_sampling),
                max_tokens=_max_tokens(len(prompt), body.requested_tokens, model),
                num_logprobs=body.logprobs,
                vocab_size=model.info.vocab_size,
            )
            for prompt in prompts
        ]
        generation = running.open(
            model,
            request,
            permit,
            [Prompt(token_ids) for token_ids in prompts],
            samplings,
            choices_per_prompt=body.n,
            is_stream=body.stream,
        )
    wire = CompletionFormat(generation, body.includes_usage, body.logprobs is not None)
    return await respond(request, generation, wire, is_stream=body.stream)


def _max_tokens(prompt_tokens: int, requested: int | None, model: ServedModel) -> int:
    allowed = allowed_tokens(
        prompt_tokens, requested, model.info.max_context, prompt_param="prompt"
    )
    return min(DEFAULT_MAX_TOKENS, allowed) if requested is None else allowed


async def _token_ids(prompt: str | list[int], model: ServedModel) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return tuple(await text_token_ids(model, prompt))
    if any(token_id >= model.info.vocab_size for token_id in prompt):
        raise InvalidRequest(f"Token ids must be below {model.info.vocab_size}.", param="prompt")
    return tuple(prompt)


class CompletionFormat(WireFormat):
    """A text answer as `text_completion`, whole or in increments."""

    id_prefix = "cmpl"
    event_object = "text_completion"

    def delta(self, index: int, chunk: GenerationChunk) -> dict[str, Any]:
        self.answers[index].add(chunk)
        logprobs = list(chunk.logprobs)
        wire = CompletionChoice(
            index=index,
            text=chunk.text,
            logprobs=completion_logprobs(logprobs) if logprobs else None,
            finish_reason=chunk.finish_reason,
        )
        return self.event([wire.model_dump()])

    def whole(self, generation: Generation) -> Completion:
        return Completion(
            **self.head,
            choices=[self._choice(index, answer) for index, answer in enumerate(self.answers)],
            usage=generation.usage(),
        )

    def _choice(self, index: int, answer: Answer) -> CompletionChoice:
        return CompletionChoice(
            index=index,
            text=answer.text,
            logprobs=completion_logprobs(answer.logprobs) if self.includes_logprobs else None,
            finish_reason=answer.finish_reason,
        )
