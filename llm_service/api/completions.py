"""POST /v1/completions: text in, text out, without a chat template."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.choice import Choice, Parts
from llm_service.api.echo import Echo
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import infill_token_ids, text_token_ids
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
from llm_service.engine import ModelInfo, Prompt
from llm_service.engine.answer import Delta, PlainText
from llm_service.engine.served import ServedModel
from llm_service.errors import InvalidRequest, UnsupportedParameter
from llm_service.observability.record import RequestRecord

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions", response_model=Completion)
async def create_completion(body: CompletionRequest, inference: InferenceDep) -> Response:
    """Continue one or several prompts, given as text or as token ids."""
    model = inference.resolve(body)
    wire_format = partial(CompletionFormat, body=body, info=model.info)
    ask = partial(question, body)
    return await inference.answer(body, model, body.prompts(), ask, wire_format)


async def question(
    body: CompletionRequest, model: ServedModel, prompt: str | list[int]
) -> Question:
    """Return the question of one prompt. Raises InvalidRequest and ContextLengthExceeded."""
    if body.suffix:
        return await _gap(body, model, prompt, body.suffix)
    if isinstance(prompt, str):
        text, token_ids = prompt, await text_token_ids(model, prompt)
    else:
        text, token_ids = "", prompt
        if any(token_id >= model.info.vocab_size for token_id in prompt):
            raise InvalidRequest(
                f"Token ids must be below {model.info.vocab_size}.", param="prompt"
            )
        if body.echo:
            text = await asyncio.to_thread(model.tokenizer.decode, prompt)
    make_parser = partial(Echo, text) if body.echo else PlainText
    grammar = await text_grammar(model, body)
    return Question(Prompt(tuple(token_ids)), make_parser, grammar=grammar)


async def _gap(
    body: CompletionRequest, model: ServedModel, prompt: str | list[int], suffix: str
) -> Question:
    """Ask for what stands between `prompt` and `suffix`."""
    infill = model.tokenizer.infill
    if infill is None:
        raise UnsupportedParameter(
            f"suffix is not supported by {model.info.model_id}: the model has no tokens for"
            " filling in the middle of a text.",
            param="suffix",
        )
    if not isinstance(prompt, str):
        raise InvalidRequest("suffix needs a prompt that is text.", param="prompt")
    token_ids = await infill_token_ids(model, prompt, suffix)
    grammar = await text_grammar(model, body)
    prompt_ids = Prompt(tuple(token_ids))
    return Question(prompt_ids, grammar=grammar, stop_token_ids=infill.stops)


class CompletionFormat(CompletionsFormat):
    """A text answer as `text_completion`, whole or in increments."""

    id_prefix = "cmpl"
    event_object = "text_completion"

    def __init__(self, record: RequestRecord, body: CompletionRequest, info: ModelInfo) -> None:
        super().__init__(record, body, info)
        self._body = body
        self.includes_logprobs = body.logprobs is not None

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
            choices=[self._choice(i, choice) for i, choice in enumerate(self._best(choices))],
            usage=usage,
        )
        return answer.model_dump()

    def _best(self, choices: list[Choice]) -> Iterable[Choice]:
        """Return the best `n` of the `best_of` answers to each prompt, the best first."""
        n, best_of = self._body.n, self._body.num_sequences
        if best_of == n:
            return choices
        groups = [choices[i : i + best_of] for i in range(0, len(choices), best_of)]
        return [
            choice
            for group in groups
            for choice in sorted(group, key=self._mean_logprob, reverse=True)[:n]
        ]

    def _mean_logprob(self, choice: Choice) -> float:
        """Return the answer's log probability per token; an answer without tokens comes last."""
        has_prompt = self._body.num_prompt_logprobs is not None
        first = choice.sequence.usage.num_prompt_tokens if has_prompt else 0
        found = [position.chosen.logprob or 0.0 for position in choice.parts.logprobs[first:]]
        return sum(found) / len(found) if found else -math.inf

    def _choice(self, index: int, choice: Choice) -> CompletionChoice:
        return CompletionChoice(
            index=index,
            text=choice.text,
            logprobs=completion_logprobs(choice.parts.logprobs) if self.includes_logprobs else None,
            finish_reason=choice.finish_reason,
        )
