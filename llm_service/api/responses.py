"""The bodies of answers, in OpenAI's shapes, which the OpenAPI schema also shows."""

import gzip
from datetime import UTC, datetime
from typing import Literal

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from llm_service.engine import ModelInfo, PositionLogprobs, TokenLogprob

JSON = "application/json"
LEAST_LOGPROB = -9999.0


class PromptTokensDetails(BaseModel):
    cached_tokens: int
    image_tokens: int = 0


class CompletionTokensDetails(BaseModel):
    reasoning_tokens: int


class UsageOut(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobOut(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(BaseModel):
    content: list[TokenLogprobOut]


class FunctionOut(BaseModel):
    name: str
    arguments: str  # JSON text


class ToolCallOut(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionOut


class AssistantMessage(BaseModel):
    """`content` is null only beside calls. The other fields are left out where there are none."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # the same text, under the name that other clients read
    tool_calls: list[ToolCallOut] | None = None


class ChatChoice(BaseModel):
    index: int
    message: AssistantMessage
    logprobs: ChoiceLogprobs | None = None
    finish_reason: str


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: UsageOut


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    # null: the first token of a prompt, before which there is nothing
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageOut


class Embedding(BaseModel):
    """`embedding` is a list of numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class EmbeddingFacts(BaseModel):
    """How a model makes embeddings; `prompts` are the values of `prompt_name`."""

    dimensions: int
    pooling: str
    is_normalized: bool
    prompts: list[str]


class TokenizeOut(BaseModel):
    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizeOut(BaseModel):
    prompt: str


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class ErrorEnvelope(BaseModel):
    error: ErrorBody


def compressed(request: Request, body: bytes, media_type: str) -> Response:
    """Return a response that is not cached, and is compressed if the client accepts that."""
    headers = {"Vary": "Accept, Accept-Encoding", "Cache-Control": "no-store"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=media_type, headers=headers)


def usage_out(
    prompt_tokens: int,
    cached_tokens: int,
    output_tokens: int,
    reasoning_tokens: int = 0,
    image_tokens: int = 0,
) -> UsageOut:
    return UsageOut(
        prompt_tokens=prompt_tokens,
        completion_tokens=output_tokens,
        total_tokens=prompt_tokens + output_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=cached_tokens, image_tokens=image_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning_tokens),
    )


def chat_logprobs(positions: list[PositionLogprobs]) -> ChoiceLogprobs:
    return ChoiceLogprobs(
        content=[
            TokenLogprobOut(
                **_top(position.chosen).model_dump(),
                top_logprobs=[_top(token) for token in position.top],
            )
            for position in positions
        ]
    )


def completion_logprobs(positions: list[PositionLogprobs]) -> CompletionLogprobs:
    return CompletionLogprobs(
        tokens=[_name(position.chosen) for position in positions],
        token_logprobs=[_logprob(position.chosen) for position in positions],
        top_logprobs=[_alternatives(position) for position in positions],
        text_offset=[position.text_offset for position in positions],
    )


def _alternatives(position: PositionLogprobs) -> dict[str, float] | None:
    """Return the likeliest tokens and, as OpenAI does, always the chosen one."""
    tokens = (position.chosen, *reversed(position.top))
    found = {_name(token): _logprob(token) for token in tokens}
    return {name: logprob for name, logprob in found.items() if logprob is not None} or None


def _name(token: TokenLogprob) -> str:
    """Return its text, or a name like OpenAI's `bytes:\\xe2\\x82` for a part of a character.

    The text of all parts of characters is the same, and names must differ.
    """
    try:
        return token.token_bytes.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.token_bytes)


def _top(token: TokenLogprob) -> TopLogprob:
    logprob = _logprob(token)
    assert logprob is not None  # prompts have no place in a chat's answer
    return TopLogprob(token=token.text, logprob=logprob, bytes=list(token.token_bytes))


def _logprob(token: TokenLogprob) -> float | None:
    """Replace minus infinity, which JSON cannot write, by OpenAI's least value."""
    return None if token.logprob is None else max(token.logprob, LEAST_LOGPROB)


def embedding_facts(info: ModelInfo) -> EmbeddingFacts | None:
    found = info.embedding
    if found is None:
        return None
    return EmbeddingFacts(
        dimensions=found.dimensions,
        pooling=found.pooling,
        is_normalized=found.is_normalized,
        prompts=list(found.prompts),
    )


def rfc3339(seconds: float) -> str:
    """Return a unix time in UTC, as protocols write it, with `Z` at the end."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
