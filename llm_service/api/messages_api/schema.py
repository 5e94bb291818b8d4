"""The answers of /v1/messages, as the OpenAPI schema shows them."""

from typing import Any, Literal

from pydantic import BaseModel


class OutputTokens(BaseModel):
    thinking_tokens: int


class MessageUsage(BaseModel):
    """The whole prompt has `input_tokens` and `cache_read_input_tokens`."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputTokens


class MessageOut(BaseModel):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal[
        "end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded", "tool_use"
    ]
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(BaseModel):
    input_tokens: int


class MessagesError(BaseModel):
    type: str
    message: str


class MessagesErrorEnvelope(BaseModel):
    type: Literal["error"]
    error: MessagesError
    request_id: str | None
