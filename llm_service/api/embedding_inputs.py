"""Turns the inputs of a request for embeddings into token ids, within the model's bounds."""

import asyncio
from dataclasses import dataclass

from llm_service.api.schemas import EmbeddingRequest
from llm_service.engine import EmbeddingInfo, Prompt, TooManyTokens
from llm_service.engine.served import ServedModel
from llm_service.errors import ContextLengthExceeded, InvalidRequest


async def read_inputs(model: ServedModel, body: EmbeddingRequest) -> list[Prompt]:
    """Return the token ids of each input. Raises InvalidRequest or ContextLengthExceeded.

    The error names the input, and nothing is cut unless the caller asks for that.
    """
    info = model.info.embedding
    assert info is not None
    if body.dimensions is not None and body.dimensions > info.dimensions:
        raise InvalidRequest(
            f"dimensions is {body.dimensions}, but this model's embeddings have {info.dimensions}.",
            param="dimensions",
        )
    reader = _Reader(model, info, _prompt(body, info), _limit(body, model.info.max_context), body)
    return await asyncio.to_thread(reader.read)


def _prompt(body: EmbeddingRequest, info: EmbeddingInfo) -> str:
    """Return the text to put before each input."""
    name = body.prompt_name or info.default_prompt
    if name is None:
        return ""
    if name not in info.prompts:
        known = ", ".join(info.prompts) or "none"
        raise InvalidRequest(
            f"This model has no prompt named {name!r}. Its prompts: {known}.", param="prompt_name"
        )
    return info.prompts[name]


def _limit(body: EmbeddingRequest, longest: int) -> int:
    """Return the number of tokens that an input may have."""
    asked = body.truncate_prompt_tokens
    if asked is None or asked == -1:
        return longest
    if not 1 <= asked <= longest:
        raise InvalidRequest(
            f"truncate_prompt_tokens is {asked}, but must be -1 or between 1 and {longest}.",
            param="truncate_prompt_tokens",
        )
    return asked


@dataclass(frozen=True, slots=True)
class _Reader:
    model: ServedModel
    info: EmbeddingInfo
    prompt: str
    limit: int
    body: EmbeddingRequest

    def read(self) -> list[Prompt]:
        inputs = self.body.inputs()
        name = self.body.input_param
        is_list = len(inputs) > 1 or self.body.input != inputs[0]
        return [
            Prompt(tuple(self._token_ids(given, f"{name}.{i}" if is_list else name)))
            for i, given in enumerate(inputs)
        ]

    def _token_ids(self, given: str | list[int], param: str) -> list[int]:
        if not given:
            raise InvalidRequest(f"{param} is empty: send a text or token ids.", param=param)
        if isinstance(given, str):
            return self._fitting(self._encoded(given, param), self.info.closing_token_ids, param)
        if max(given) >= self.model.info.vocab_size:
            raise InvalidRequest(
                f"Token ids must be below {self.model.info.vocab_size}.", param=param
            )
        return self._fitting(given, (), param)

    def _encoded(self, text: str, param: str) -> list[int]:
        # A text that is cut has to be encoded first, however long it is.
        max_tokens = None if self._cuts else self.limit
        try:
            return self.model.tokenizer.encode_text(self.prompt + text, max_tokens=max_tokens)
        except TooManyTokens as error:
            raise ContextLengthExceeded.of_input(
                self.limit,
                error.at_least,
                param=param,
                cut_by=self.body.cut_param,
                is_counted=False,
            ) from error

    def _fitting(self, ids: list[int], closing: tuple[int, ...], param: str) -> list[int]:
        """Return `ids`, or their beginning with the tokens that end a text."""
        if len(ids) <= self.limit:
            return ids
        if not self._cuts:
            raise ContextLengthExceeded.of_input(
                self.limit, len(ids), param=param, cut_by=self.body.cut_param
            )
        return [*ids[: max(0, self.limit - len(closing))], *closing][: self.limit]

    @property
    def _cuts(self) -> bool:
        return self.body.truncate_prompt_tokens is not None
