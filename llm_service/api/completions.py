"""POST /v1/completions: text in, text out, without a chat template."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.choice import Choice, Delta, joined
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import text_token_ids
from llm_service.api.responses import (
    Completion,
    CompletionChoice,
    UsageOut,
    completion_logprobs,
)
from llm_service.api.schemas import CompletionRequest
from llm_service.api.sse import WireFormat
from llm_service.engine.served import ServedModel
from llm_service.errors import InvalidRequest

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions", response_model=Completion)
async def create_completion(body: CompletionRequest, inference: InferenceDep) -> Response:
    """Continue one or several prompts, given as text or as token ids."""
    model = inference.resolve(body)
    return await inference.answer(body, model, body.prompts(), _token_ids, CompletionFormat)


async def _token_ids(model: ServedModel, prompt: str | list[int]) -> Sequence[int]:
    if isinstance(prompt, str):
        return await text_token_ids(model, prompt)
    if any(token_id >= model.info.vocab_size for token_id in prompt):
        raise InvalidRequest(f"Token ids must be below {model.info.vocab_size}.", param="prompt")
    return prompt


class CompletionFormat(WireFormat):
    """A text answer as `text_completion`, whole or in increments."""

    id_prefix = "cmpl"
    event_object = "text_completion"

    def increment(self, index: int, deltas: list[Delta]) -> dict[str, Any]:
        text, positions, reason = joined(deltas)
        choice = CompletionChoice(
            index=index,
            text=text,
            logprobs=completion_logprobs(positions) if positions else None,
            finish_reason=reason,
        )
        return self.event([choice.model_dump()])

    def whole(self, choices: list[Choice], usage: UsageOut) -> Completion:
        return Completion(
            **self.head,
            choices=[self._choice(index, choice) for index, choice in enumerate(choices)],
            usage=usage,
        )

    def _choice(self, index: int, choice: Choice) -> CompletionChoice:
        return CompletionChoice(
            index=index,
            text=choice.text,
            logprobs=completion_logprobs(choice.logprobs) if self.includes_logprobs else None,
            finish_reason=choice.finish_reason,
        )
