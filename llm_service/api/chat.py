"""POST /v1/chat/completions."""

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
from llm_service.api.prompts import allowed_tokens, chat_token_ids
from llm_service.api.responses import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    chat_logprobs,
)
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.api.sse import WireFormat, respond
from llm_service.engine import GenerationChunk, Prompt

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions", response_model=ChatCompletion)
async def create_chat_completion(
    body: ChatCompletionRequest,
    request: Request,
    key: InferenceKey,
    models: ModelsDep,
    admission: AdmissionDep,
    running: RunningDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Answer a conversation. With `stream` true: server-sent events that end with `[DONE]`."""
    model = models.resolve(body.model)
    body.check_extra_fields(unknown_fields)
    messages = [message.to_template(i) for i, message in enumerate(body.messages)]
    async with admission.charged(key, model.info, body.n) as permit:
        prompt = await chat_token_ids(model, messages)
        sampling = body.sampling(
            dict(model.info.default_sampling),
            max_tokens=allowed_tokens(
                len(prompt),
                body.requested_tokens,
                model.info.max_context,
                prompt_param="messages",
                tokens_param=body.tokens_param,
            ),
            num_logprobs=body.num_logprobs,
            vocab_size=model.info.vocab_size,
        )
        generation = running.open(
            model,
            request,
            permit,
            [Prompt(tuple(prompt))],
            [sampling],
            choices_per_prompt=body.n,
            is_stream=body.stream,
        )
    wire = ChatFormat(generation, body.includes_usage, body.num_logprobs is not None)
    return await respond(request, generation, wire, is_stream=body.stream)


class ChatFormat(WireFormat):
    """A chat answer as `chat.completion` or as `chat.completion.chunk`s."""

    id_prefix = "chatcmpl"
    event_object = "chat.completion.chunk"

    def opening(self) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [self._chunk(index, delta, None, None) for index in range(len(self.answers))]

    def delta(self, index: int, chunk: GenerationChunk) -> dict[str, Any]:
        self.answers[index].add(chunk)
        delta = {"content": chunk.text} if chunk.text else {}
        logprobs = chat_logprobs(list(chunk.logprobs)).model_dump() if chunk.logprobs else None
        return self._chunk(index, delta, logprobs, chunk.finish_reason)

    def whole(self, generation: Generation) -> ChatCompletion:
        return ChatCompletion(
            **self.head,
            choices=[self._choice(index, answer) for index, answer in enumerate(self.answers)],
            usage=generation.usage(),
        )

    def _chunk(
        self, index: int, delta: dict[str, str], logprobs: Any, finish_reason: str | None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return self.event([choice])

    def _choice(self, index: int, answer: Answer) -> ChatChoice:
        return ChatChoice(
            index=index,
            message=AssistantMessage(content=answer.text),
            logprobs=chat_logprobs(answer.logprobs) if self.includes_logprobs else None,
            finish_reason=answer.finish_reason,
        )
