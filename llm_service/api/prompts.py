"""Turns prompts into token ids, within bounds and off the event loop."""

import asyncio
from collections.abc import Callable
from functools import partial

from llm_service.engine import Conversation, TooManyTokens
from llm_service.engine.served import ServedModel
from llm_service.errors import ContextLengthExceeded, InvalidRequest


async def chat_token_ids(
    model: ServedModel, conversation: Conversation, param: str = "messages"
) -> list[int]:
    """Encode a conversation by the model's template.

    `param` names the field in which the caller sent it. Raises InvalidRequest, and
    ContextLengthExceeded if it is far too long.
    """
    encode = partial(model.tokenizer.encode_chat, conversation)
    return await _token_ids(model, encode, param)


async def text_token_ids(model: ServedModel, text: str) -> list[int]:
    """Encode plain text. Raises ContextLengthExceeded if it is far too long."""
    return await _token_ids(model, partial(model.tokenizer.encode_text, text), "prompt")


async def infill_token_ids(model: ServedModel, before: str, after: str) -> list[int]:
    """Encode a text with a gap. Raises ContextLengthExceeded if it is far too long."""
    encode = partial(model.tokenizer.encode_infill, before, after)
    return await _token_ids(model, encode, "prompt")


def allowed_tokens(
    prompt_tokens: int,
    requested: int | None,
    limit: int,
    *,
    prompt_param: str,
    tokens_param: str = "max_tokens",
) -> int:
    """Return how many tokens may be generated in a context of `limit` tokens.

    `prompt_param` and `tokens_param` name the fields in which the caller sent the prompt and
    `requested`. Raises ContextLengthExceeded, with the numbers, and InvalidRequest for an empty
    prompt.
    """
    room = limit - prompt_tokens
    if prompt_tokens == 0:
        raise InvalidRequest("The prompt is empty: send at least one token.", param=prompt_param)
    if room < 1:
        raise ContextLengthExceeded.of_prompt(limit, prompt_tokens, param=prompt_param)
    if requested is not None and requested > room:
        raise ContextLengthExceeded.of_request(
            limit, prompt_tokens, requested, prompt_param=prompt_param, param=tokens_param
        )
    return room if requested is None else requested


async def _token_ids(model: ServedModel, encode: Callable[..., list[int]], param: str) -> list[int]:
    limit = model.info.max_context
    try:
        return await asyncio.to_thread(encode, max_tokens=limit)
    except TooManyTokens as error:
        raise ContextLengthExceeded.of_prompt(
            limit, error.at_least, param=param, is_counted=False
        ) from error
