"""Converts text to token ids, sealed: the text of a message can never become a control token.

Owns a model's tokenizer. `sealing` seals a chat, and `template_process` renders it. This module
knows nothing about models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from tokenizers import Encoding, Tokenizer
from transformers import PreTrainedTokenizerBase

from llm_service.engine import TooManyTokens
from llm_service.engine.chat_template import names_schema
from llm_service.engine.control_tokens import control_tokens, inner_tokenizer
from llm_service.engine.conversation import Conversation
from llm_service.engine.infill import InfillTokens, infill_tokens
from llm_service.engine.sealing import clean
from llm_service.engine.template_process import TemplateProcess
from llm_service.errors import InvalidRequest

# ids have 32 bits in the tokenizers library
_MAX_TOKEN_ID = 2**32 - 1
# If a text has more characters per allowed token than this, its beginning is encoded first.
_CHARS_PER_TOKEN = 16
_FEW_TOKENS = 256
_IN_NO_VOCABULARY = "\U0010ffff"  # a noncharacter


class SealedTokenizer:
    """A `PromptTokenizer` over one of transformers' fast tokenizers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, closes_texts: bool = False) -> None:
        """With `closes_texts`, plain text ends with the tokens that the tokenizer puts there.

        Models for embeddings want them; a text to continue must not have them.
        """
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        control = control_tokens(tokenizer, self._backend.get_added_tokens_decoder())
        self._control_ids = frozenset(control.values())
        self._unreachable_ids = self._control_ids - _unknown_ids(self._backend)
        self._inner, self._outer_ids = inner_tokenizer(self._backend, control)
        self._bos, closing = _special_ids_around(self._backend)
        self.closing_token_ids = closing if closes_texts else ()
        self._infill = infill_tokens(self._backend)
        source = _template_source(tokenizer)
        self._template = _template_process(tokenizer, source, control)
        self._writes_schema = names_schema(source)

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    @property
    def infill(self) -> InfillTokens | None:
        """The tokens for filling in the middle of a text; None if the model has none."""
        return self._infill

    @property
    def control_token_ids(self) -> frozenset[int]:
        """The tokens that only a template can put into a prompt."""
        return self._control_ids

    def encode_chat(
        self, conversation: Conversation, *, max_tokens: int | None = None
    ) -> list[int]:
        """Render `conversation` by the model's template. Raises InvalidRequest if it refuses.

        Raises TooManyTokens like `encode_text`.
        """
        if self._template is None:
            raise InvalidRequest(
                "This model has no chat template; use /v1/completions.", param="messages"
            )
        if not self._writes_schema:
            conversation = replace(conversation, answer_schema=None)
        text = self._template.render(conversation)
        return self._encode(text, max_tokens)

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Encode plain text, sealed and without a template, after the model's BOS if it has one.

        Text of far more than `max_tokens` tokens raises TooManyTokens before all of it is
        encoded. Text that makes a few more is encoded: the caller sees how many.
        """
        return [*self._bos, *self._encode(clean(text), max_tokens), *self.closing_token_ids]

    def encode_inside(self, text: str) -> list[int]:
        """Encode text that stands in the middle of an answer, sealed."""
        return self._encode(clean(text), None)

    def encode_infill(self, before: str, after: str, *, max_tokens: int | None = None) -> list[int]:
        """Encode two texts, sealed, so that the model writes what stands between them.

        `infill` must not be None. Raises TooManyTokens as `encode_text` does.
        """
        assert self._infill is not None
        texts = [self._encode(clean(text), max_tokens) for text in (before, after)]
        return [*self._bos, *self._infill.prompt(*texts)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return all of `token_ids` as text, including control tokens."""
        if unknown := [i for i in token_ids if not 0 <= i <= _MAX_TOKEN_ID]:
            raise InvalidRequest(f"{unknown[0]} is no token id.")
        text: str = self._backend.decode(list(token_ids), skip_special_tokens=False)
        return text

    def _encode(self, text: str, max_tokens: int | None) -> list[int]:
        """Return the ids of `text`, which has private names for control tokens."""
        ids: list[int] = []
        for inner_id in self._inner_ids(text, max_tokens):
            outer_id = self._outer_ids.get(inner_id)
            if outer_id is None and inner_id in self._unreachable_ids:
                ids += self._spell(inner_id)
            else:
                ids.append(inner_id if outer_id is None else outer_id)
        return ids

    def _inner_ids(self, text: str, max_tokens: int | None) -> list[int]:
        if max_tokens is not None:
            limit = max(max_tokens, _FEW_TOKENS)
            beginning = text[: _CHARS_PER_TOKEN * limit]
            # The cut changes only tokens near it, so the whole text has at least half of these.
            if len(beginning) < len(text) and (count := len(self._encoding(beginning))) > 2 * limit:
                raise TooManyTokens(at_least=count // 2)
        encoding = self._encoding(text)
        if max_tokens is not None and len(encoding) > 2 * limit:
            raise TooManyTokens(at_least=len(encoding))
        ids: list[int] = encoding.ids
        return ids

    def _encoding(self, text: str) -> Encoding:
        """Encode without holding the interpreter's lock, which `encode` would hold."""
        (encoding,) = self._inner.encode_batch_fast([text], add_special_tokens=False)
        return encoding

    def _spell(self, token_id: int) -> list[int]:
        """Encode a control token's text as other tokens, if the vocabulary could merge to it."""
        content = self._backend.id_to_token(token_id) or ""
        pieces = (content[:1], content[1:])
        ids = [token.id for piece in pieces if piece for token in self._inner.model.tokenize(piece)]
        if not self._unreachable_ids.isdisjoint(ids):
            raise InvalidRequest(f"This model cannot read {content!r} as plain text.")
        return ids


def _template_source(tokenizer: PreTrainedTokenizerBase) -> str:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return template or ""


def _template_process(
    tokenizer: PreTrainedTokenizerBase, source: str, control: Mapping[str, int]
) -> TemplateProcess | None:
    if not source:
        return None
    names = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return TemplateProcess(source, names, control)


def _unknown_ids(backend: Tokenizer) -> frozenset[int]:
    """Return the id of the token for text that the vocabulary lacks, if there is one.

    It is marked special, and yet text has to be able to produce it.
    """
    try:
        ids = [token.id for token in backend.model.tokenize(_IN_NO_VOCABULARY)]
    except Exception:  # the library's only type: this vocabulary has no such token
        return frozenset()
    return frozenset(ids if len(ids) == 1 else ())


def _special_ids_around(backend: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that the tokenizer puts before plain text (BOS, or nothing), and after it."""
    encoding = backend.encode("a", add_special_tokens=True)
    columns = encoding.ids, encoding.special_tokens_mask, encoding.attention_mask
    # Some tokenizers state a padding, which is no part of the text.
    pairs = [(i, is_special) for i, is_special, is_text in zip(*columns, strict=True) if is_text]
    before = tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1], pairs))
    if len(before) == len(pairs):
        return before, ()
    after = tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1], reversed(pairs)))
    return before, after[::-1]
