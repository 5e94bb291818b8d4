"""The control tokens of a vocabulary, and a tokenizer that has private names for them.

A control token steers the model: it begins a turn, ends an answer or stands for an image. Only a
chat template may put one into a prompt.
"""

import re
from collections.abc import Mapping

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from llm_service.engine.sealing import private_name

_MARKUP = re.compile(r"[<>\[\]{}|]")


def control_tokens(
    tokenizer: PreTrainedTokenizerBase, added: Mapping[int, AddedToken]
) -> dict[str, int]:
    """Return the added tokens that plain text must not produce, with their ids.

    These are the tokens marked special, those that the template names, and all that look like
    markup: `<|tool|>`, `[IMG]`, `<unused7>`, but also `<h1>`, because a vocabulary does not
    distinguish HTML tags from control tokens. Plain words and runs of spaces or line breaks stay
    text, because the model was trained on text in which they are tokens.
    """
    template = tokenizer.chat_template or ""
    if isinstance(template, dict):
        template = "".join(template.values())

    def is_control(token: AddedToken) -> bool:
        text = token.content
        if token.special:
            return bool(text)
        if text.isspace() or not text:
            return False
        return text in template or bool(_MARKUP.search(text))

    return {token.content: i for i, token in added.items() if is_control(token)}


def inner_tokenizer(
    backend: Tokenizer, control: Mapping[str, int]
) -> tuple[Tokenizer, dict[int, int]]:
    """Return `backend` with private names for control tokens, and the ids of added tokens."""
    inner = Tokenizer(backend.model)
    if backend.normalizer is not None:
        inner.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        inner.pre_tokenizer = backend.pre_tokenizer
    added = dict(sorted(backend.get_added_tokens_decoder().items()))
    for token_id, token in added.items():
        if token.content in control:
            added[token_id] = _named(token, private_name(token_id))
    inner.add_tokens(list(added.values()))
    outer_ids: dict[int, int] = {}
    for token_id, token in added.items():
        inner_id = inner.token_to_id(token.content)
        assert inner_id is not None  # just added
        outer_ids[inner_id] = token_id
    return inner, outer_ids


def _named(token: AddedToken, name: str) -> AddedToken:
    """Return `token` with another text, which is looked for before text is normalized.

    A normalizer that puts a prefix before texts (Llama 2) would put it before the name, too, and
    the name would be found at the beginning of a prompt only.
    """
    return AddedToken(
        name,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=False,
        special=token.special,
    )
