"""The steps from the body of an inference request to its answer, which its endpoints share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response

from llm_service.api.dependencies import (
    AdmissionDep,
    FactsDep,
    ImagesDep,
    InferenceKey,
    ModelsDep,
    RunningDep,
    UnknownFieldsDep,
)
from llm_service.api.generation import Generation
from llm_service.api.prompts import Prompts, allowed_tokens
from llm_service.api.questions import chat_question
from llm_service.api.running import Question
from llm_service.api.schemas import (
    ChatCompletionRequest,
    EmbeddingRequest,
    InferenceBody,
    SamplingFields,
)
from llm_service.api.sse import WireFormat, respond
from llm_service.engine import NO_ANSWER, ModelInfo, Prompt, SamplingParams
from llm_service.engine.served import ServedModel
from llm_service.observability.record import RequestRecord

P = TypeVar("P")


class Inference:
    """One request at an inference endpoint: `resolve` its model, then `answer` its prompts."""

    def __init__(
        self,
        request: Request,
        key: InferenceKey,
        models: ModelsDep,
        admission: AdmissionDep,
        running: RunningDep,
        unknown_fields: UnknownFieldsDep,
        facts: FactsDep,
        images: ImagesDep,
    ) -> None:
        self._request = request
        self._key = key
        self._models = models
        self._admission = admission
        self._running = running
        self._unknown_fields = unknown_fields
        self._facts = facts
        self.prompts = Prompts(images, key.cache_salt)

    def resolve(self, body: InferenceBody) -> ServedModel:
        """Return the model for `body`. Raises ModelNotFound, NotLoaded or InvalidRequest."""
        model = self._models.generating(body.model)
        body.check_extra_fields(self._unknown_fields)
        return model

    async def answer_chat(
        self,
        body: ChatCompletionRequest,
        model: ServedModel,
        wire_format: Callable[[RequestRecord], WireFormat],
    ) -> Response:
        """Answer a conversation, as every endpoint does that takes messages."""
        question = partial(chat_question, self.prompts, self._facts.max_reasoning_tokens)
        return await self.answer(body, model, [body], question, wire_format)

    async def answer(
        self,
        body: SamplingFields,
        model: ServedModel,
        prompts: Sequence[P],
        encode: Callable[[ServedModel, P], Awaitable[Question]],
        wire_format: Callable[[RequestRecord], WireFormat],
    ) -> Response:
        """Charge the key, encode the prompts, submit the sequences for each, and respond."""
        num_choices = len(prompts) * body.num_sequences
        async with self._admission.charged(self._key, model.info, num_choices) as permit:
            questions = [await encode(model, prompt) for prompt in prompts]
            generation = self._running.open(
                model,
                self._request,
                permit,
                questions,
                [_sampling(body, model.info, question) for question in questions],
                choices_per_prompt=body.num_sequences,
                is_stream=body.stream,
            )
        wire = wire_format(generation.record)
        return await respond(self._request, generation, wire, is_stream=body.stream)

    async def embed(
        self,
        body: EmbeddingRequest,
        encode: Callable[[ServedModel, EmbeddingRequest], Awaitable[list[Prompt]]],
    ) -> Generation:
        """Charge the key, encode the inputs and submit them. The caller closes the generation."""
        model = self._models.embedding(body.model)
        body.check_extra_fields(self._unknown_fields)
        # One choice, however many inputs: the engine itself bounds the inputs of a key.
        async with self._admission.charged(self._key, model.info, 1) as permit:
            prompts = await encode(model, body)
            return self._running.open(
                model,
                self._request,
                permit,
                [Question(prompt) for prompt in prompts],
                [NO_ANSWER] * len(prompts),
                choices_per_prompt=1,
                is_stream=False,
            )


def _sampling(body: SamplingFields, info: ModelInfo, question: Question) -> SamplingParams:
    max_tokens = allowed_tokens(
        len(question.prompt),
        body.requested_tokens,
        info.max_context,
        prompt_param=body.prompt_param,
        tokens_param=body.tokens_param,
    )
    if body.most_tokens is not None:
        max_tokens = min(max_tokens, body.most_tokens)
    sampling = body.sampling(
        dict(info.default_sampling),
        max_tokens=max_tokens,
        num_logprobs=body.num_logprobs,
        vocab_size=info.vocab_size,
    )
    return replace(sampling, stop_token_ids=sampling.stop_token_ids + question.stop_token_ids)


InferenceDep = Annotated[Inference, Depends()]
