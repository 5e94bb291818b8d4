"""POST /v1/completions: text in, text out, without a chat template."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.choice import Choice, Parts
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import text_token_ids
from llm_service.api.questions import text_grammar
from llm_service.api.responses import (
    Completion,
    CompletionChoice,
    UsageOut,
    completion_logprobs,
)
from llm_service.api.running import Question
from llm_service.api.schemas import CompletionRequest
from llm_service.api.sse import CompletionsFormat, event
from llm_service.engine import Prompt
from llm_service.engine.answer import Delta
from llm_service.engine.served import ServedModel
from llm_service.errors import InvalidRequest

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions", response_model=Completion)
async def create_completion(body: CompletionRequest, inference: InferenceDep) -> Response:
    """Continue one or several prompts, given as text or as token ids."""
    model = inference.resolve(body)
    question = partial(_question, body)
    wire_format = partial(CompletionFormat, body=body)
    return await inference.answer(body, model, body.prompts(), question, wire_format)


async def _question(
    body: CompletionRequest, model: ServedModel, prompt: str | list[int]
) -> Question:
    if isinstance(prompt, str):
        prompt = await text_token_ids(model, prompt)
    elif any(token_id >= model.info.vocab_size for token_id in prompt):
        raise InvalidRequest(f"Token ids must be below {model.info.vocab_size}.", param="prompt")
    return Question(Prompt(tuple(prompt)), grammar=await text_grammar(model, body))


class CompletionFormat(CompletionsFormat):
    """A text answer as `text_completion`, whole or in increments."""

    id_prefix = "cmpl"
    event_object = "text_completion"

    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        parts = Parts.of(deltas)
        choice = CompletionChoice(
            index=index,
            text=parts.text,
            logprobs=completion_logprobs(parts.logprobs) if parts.logprobs else None,
            finish_reason=parts.finish_reason,
        )
        yield event(self.chunk([choice.model_dump()]))

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        answer = Completion(
            **self.head,
            choices=[self._choice(index, choice) for index, choice in enumerate(choices)],
            usage=usage,
        )
        return answer.model_dump()

    def _choice(self, index: int, choice: Choice) -> CompletionChoice:
        return CompletionChoice(
            index=index,
            text=choice.text,
            logprobs=completion_logprobs(choice.parts.logprobs) if self.includes_logprobs else None,
            finish_reason=choice.finish_reason,
        )
