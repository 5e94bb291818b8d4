"""POST /v1/chat/completions."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.choice import Choice, Delta, joined
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import chat_token_ids
from llm_service.api.responses import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    UsageOut,
    chat_logprobs,
)
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.api.sse import WireFormat

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions", response_model=ChatCompletion)
async def create_chat_completion(body: ChatCompletionRequest, inference: InferenceDep) -> Response:
    """Answer a conversation. With `stream` true: server-sent events that end with `[DONE]`."""
    model = inference.resolve(body)
    messages = [message.to_template(i) for i, message in enumerate(body.messages)]
    return await inference.answer(body, model, [messages], chat_token_ids, ChatFormat)


class ChatFormat(WireFormat):
    """A chat answer as `chat.completion` or as `chat.completion.chunk`s."""

    id_prefix = "chatcmpl"
    event_object = "chat.completion.chunk"

    def opening(self, num_choices: int) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [self._chunk(index, delta, None, None) for index in range(num_choices)]

    def increment(self, index: int, deltas: list[Delta]) -> dict[str, Any]:
        text, positions, reason = joined(deltas)
        delta = {"content": text} if text else {}
        logprobs = chat_logprobs(positions).model_dump() if positions else None
        return self._chunk(index, delta, logprobs, reason)

    def whole(self, choices: list[Choice], usage: UsageOut) -> ChatCompletion:
        return ChatCompletion(
            **self.head,
            choices=[self._choice(index, choice) for index, choice in enumerate(choices)],
            usage=usage,
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

    def _choice(self, index: int, choice: Choice) -> ChatChoice:
        return ChatChoice(
            index=index,
            message=AssistantMessage(content=choice.text),
            logprobs=chat_logprobs(choice.logprobs) if self.includes_logprobs else None,
            finish_reason=choice.finish_reason or "",
        )
