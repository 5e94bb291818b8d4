"""POST /v1/chat/completions."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.choice import Choice, Parts
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses import ChatCompletion, UsageOut, chat_logprobs
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.api.sse import CompletionsFormat, event
from llm_service.engine import FinishReason
from llm_service.engine.answer import Delta, ToolCallDelta

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions", response_model=ChatCompletion)
@router.post("/chat", response_model=ChatCompletion)
async def create_chat_completion(body: ChatCompletionRequest, inference: InferenceDep) -> Response:
    """Answer a conversation. With `stream` true: server-sent events that end with `[DONE]`."""
    model = inference.resolve(body)
    wire_format = partial(ChatFormat, body=body, info=model.info)
    return await inference.answer_chat(body, model, wire_format)


class ChatFormat(CompletionsFormat):
    """A chat answer as `chat.completion` or as `chat.completion.chunk`s."""

    id_prefix = "chatcmpl"
    event_object = "chat.completion.chunk"

    def opening(self, num_choices: int) -> Iterable[bytes]:
        for index in range(num_choices):
            yield self._event(index, {"role": "assistant", "content": ""})

    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        """Return one event for text, and one for each piece of a call.

        Some clients read only the first call of an event.
        """
        parts = Parts.of(deltas)
        delta = _text_fields(parts)
        calls = [each for each in deltas if isinstance(each, ToolCallDelta)]
        is_one_event = not calls
        if delta or parts.logprobs or is_one_event:
            reason = parts.finish_reason if is_one_event else None
            yield self._event(index, delta, parts.logprobs, reason)
        for call in calls:
            yield self._event(index, {"tool_calls": [_call_fields(call)]})
        if calls and parts.finish_reason is not None:
            yield self._event(index, {}, finish_reason=parts.finish_reason)

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        return {
            **self.head,
            "object": "chat.completion",
            "choices": [self._choice(index, choice) for index, choice in enumerate(choices)],
            "usage": usage.model_dump(),
        }

    def _event(
        self,
        index: int,
        delta: Mapping[str, Any],
        logprobs: Any = (),
        finish_reason: FinishReason | None = None,
    ) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": chat_logprobs(logprobs).model_dump() if logprobs else None,
            "finish_reason": finish_reason,
        }
        return event(self.chunk([choice]))

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        parts = choice.parts
        logprobs = chat_logprobs(parts.logprobs).model_dump() if self.includes_logprobs else None
        return {
            "index": index,
            "message": _message(choice),
            "logprobs": logprobs,
            "finish_reason": parts.finish_reason or "",
        }


def _message(choice: Choice) -> dict[str, Any]:
    """Return the message as `responses.AssistantMessage` describes it."""
    text, reasoning, calls = choice.text, choice.parts.reasoning, choice.tool_calls
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if reasoning:
        message |= {"reasoning_content": reasoning, "reasoning": reasoning}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message


def _text_fields(parts: Parts) -> dict[str, str]:
    """Clients read reasoning under one of two names."""
    fields = {"content": parts.text} if parts.text else {}
    if parts.reasoning:
        fields |= {"reasoning_content": parts.reasoning, "reasoning": parts.reasoning}
    return fields


def _call_fields(delta: ToolCallDelta) -> dict[str, Any]:
    function = {"arguments": delta.arguments}
    if delta.name is None:
        return {"index": delta.index, "function": function}
    return {
        "index": delta.index,
        "id": delta.call_id,
        "type": "function",
        "function": {"name": delta.name, **function},
    }
