"""Turns prompts into token ids, within bounds and off the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llm_service.api.chat_messages import Message
from llm_service.api.schemas import TemplateFields
from llm_service.engine import Conversation, Prompt, TooManyTokens
from llm_service.engine.served import ServedModel
from llm_service.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from llm_service.images.reader import ImageReader
from llm_service.images.sources import ImageSource


@dataclass(frozen=True, slots=True)
class Prompts:
    """Makes the prompts of conversations for one caller, whose `cache_salt` it knows."""

    images: ImageReader
    cache_salt: str

    async def of_chat(
        self,
        model: ServedModel,
        body: TemplateFields,
        messages: Sequence[Message],
        *,
        answer_schema: Mapping[str, Any] | None = None,
        param: str = "messages",
    ) -> tuple[Prompt, int]:
        """Return the prompt, with images in their places, and how many of its tokens are images'.

        `answer_schema` is what the answer has to fit. `param` names the field in which the caller
        sent the messages. Raises InvalidRequest, ContextLengthExceeded, and Overloaded.
        """
        conversation = replace(body.conversation(messages), answer_schema=answer_schema)
        sources = body.image_sources(messages)
        if not sources:
            return Prompt(tuple(await chat_token_ids(model, conversation, param))), 0
        vision = model.engine.vision
        if vision is None:
            raise _blind(model, sources[0])
        async with self.images.read(sources) as pictures:
            conversation = replace(conversation, pictures=pictures)
            token_ids = await chat_token_ids(model, conversation, param)
            try:
                prompt = await vision.place(token_ids, pictures, self.cache_salt)
            except ContextLengthExceeded as error:
                if error.prompt_and_context is None:
                    raise
                num_tokens, limit = error.prompt_and_context
                raise ContextLengthExceeded.of_prompt(limit, num_tokens, param=param) from error
            # Each picture has taken the place of one token.
            return prompt, len(prompt) - (len(token_ids) - len(pictures))


def _blind(model: ServedModel, source: ImageSource) -> UnsupportedParameter:
    return UnsupportedParameter(
        f"{source.param} is an image, and the model '{model.info.model_id}' does not see images:"
        " send text, or choose a model with the capability vision.",
        param=source.param,
    )


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
