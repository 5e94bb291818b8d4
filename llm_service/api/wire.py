"""The types of the values in request bodies, and which variants each accepts.

A union chooses its branch by the kind of the value, and a list stops at the first wrong item, so
that a caller gets one error, about the branch that was meant, however long the list is.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from llm_service.engine.ranges import RANGES, Range

MAX_STOP_STRINGS = 16
MAX_BIASED_TOKENS = 1024
SHAPE_ERROR = "shape"  # no branch of a union fits


def _encodable(text: str) -> str:
    """Refuse half of a surrogate pair, which JSON can contain but no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    return text


def _whole(value: Any, depth: int = 2) -> Any:
    """Accept 16.0 as the integer 16, also in lists of token ids: JSON has one kind of number."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list) and depth and not {float, list}.isdisjoint(map(type, value)):
        return [_whole(item, depth - 1) for item in value]
    return value


def _writable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what Python reads as JSON and cannot write: half surrogates, NaN and infinity."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    except ValueError:
        raise ValueError("holds a number that JSON does not have") from None
    return value


def by_shape(choose: Callable[[Any], str | None], words: str) -> Discriminator:
    """Choose the branch of a union whose tag `choose` returns; for None, the error has `words`."""
    return Discriminator(choose, custom_error_type=SHAPE_ERROR, custom_error_message=words)


def text_or_list(value: Any) -> str | None:
    return "str" if isinstance(value, str) else "list[]" if isinstance(value, list) else None


def text_or_object(value: Any) -> str | None:
    return "str" if isinstance(value, str) else "object[]" if isinstance(value, dict) else None


def _prompt_shape(value: Any) -> str | None:
    """Choose the kind of a list by its first item, so that an error is about that kind only."""
    if isinstance(value, str):
        return "str"
    if not isinstance(value, list):
        return None
    kinds = {str: "list[str]", int: "list[int]", list: "list[list[int]]"}
    return kinds.get(type(value[0])) if value else "list[str]"


def _few_biases(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > MAX_BIASED_TOKENS:
        raise ValueError(f"must have at most {MAX_BIASED_TOKENS} items")
    return value


def _within(stated: Range) -> Any:
    if stated.excludes_least:
        return Field(gt=stated.least, le=stated.most)
    return Field(ge=stated.least, le=stated.most)


JsonObject = Annotated[dict[str, Any], AfterValidator(_writable)]
Text = Annotated[str, AfterValidator(_encodable)]
ShortText = Annotated[str, Field(max_length=256), AfterValidator(_encodable)]
Name = Annotated[str, Field(max_length=64), AfterValidator(_encodable)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
PositiveCount = Annotated[int, Field(ge=1, le=2**63 - 1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Temperature = Annotated[float, _within(RANGES["temperature"])]
TopP = Annotated[float, _within(RANGES["top_p"])]
TopK = Annotated[int, _within(RANGES["top_k"])]
MinP = Annotated[float, _within(RANGES["min_p"])]
PresencePenalty = Annotated[float, _within(RANGES["presence_penalty"])]
FrequencyPenalty = Annotated[float, _within(RANGES["frequency_penalty"])]
RepetitionPenalty = Annotated[float, _within(RANGES["repetition_penalty"])]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
# `fail_fast`: one complaint about a list, not one about each of a million items.
TokenIds = Annotated[list[TokenId], Field(fail_fast=True)]
StopTokenIds = Annotated[list[TokenId], Field(max_length=64, fail_fast=True)]
StopStrings = Annotated[list[ShortText], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)]
Stop = Annotated[
    Annotated[ShortText, Tag("str")] | Annotated[StopStrings, Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of strings"),
]
Prompt = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[Text], Field(fail_fast=True), Tag("list[str]")]
    | Annotated[TokenIds, Tag("list[int]")]
    | Annotated[list[TokenIds], Field(fail_fast=True), Tag("list[list[int]]")],
    by_shape(_prompt_shape, "must be a string, a list of strings, token ids or lists of these"),
]
LogitBias = Annotated[
    dict[str, Annotated[float, Field(ge=-100, le=100)]],
    Field(fail_fast=True),
    BeforeValidator(_few_biases),
]


class WireModel(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _as_clients_write(cls, body: Any) -> Any:
        """Accept null for a missing field, and 16.0 for 16, because clients send both."""
        if not isinstance(body, dict):
            return body
        return {name: _whole(value) for name, value in body.items() if value is not None}
