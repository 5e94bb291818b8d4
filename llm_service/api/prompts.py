"""From what a caller sent to token ids: charged first, bounded, and off the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from llm_service.access.api_key import ApiKey
from llm_service.access.limits import Permit
from llm_service.api.dependencies import Services
from llm_service.engine import Engine, TooManyTokens
from llm_service.errors import ContextLengthExceeded


@asynccontextmanager
async def charged(
    services: Services, key: ApiKey, engine: Engine, num_choices: int = 0
) -> AsyncIterator[Permit]:
    """Charge one request for `num_choices` before work is done for it. Raises RateLimited.

    What fails is given back: a prompt that turns out to be wrong costs the key's budget of refused
    requests instead (`access/refusals`). After the body the permit is open, unless the body has
    ended it.
    """
    permit = await services.limiter.admit(
        key, 0, num_choices=num_choices, max_choices=services.choices_per_key(engine)
    )
    try:
        yield permit
    except BaseException:
        permit.refund()
        raise


async def chat_token_ids(
    engine: Engine, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
) -> list[int]:
    """A conversation's prompt. Raises InvalidRequest; ContextLengthExceeded if far too long."""
    encode = partial(
        engine.tokenizer.encode_chat, messages, add_generation_prompt=add_generation_prompt
    )
    return await _token_ids(engine, encode, "messages")


async def text_token_ids(engine: Engine, text: str) -> list[int]:
    """Plain text. Raises ContextLengthExceeded if it is far too long."""
    return await _token_ids(engine, partial(engine.tokenizer.encode_text, text), "prompt")


async def _token_ids(engine: Engine, encode: Callable[..., list[int]], param: str) -> list[int]:
    limit = engine.info.max_context
    try:
        return await asyncio.to_thread(encode, max_tokens=limit)
    except TooManyTokens as error:
        raise ContextLengthExceeded.of_prompt(
            limit, error.at_least, param=param, is_counted=False
        ) from error
