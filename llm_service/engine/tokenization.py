"""Text to token ids, sealed: what a message says can never become a control token.

Owns the border between a chat template, which may write control tokens, and the text
that callers send, which may not. It knows nothing of models.

How a chat is sealed. In every string of the messages, each character at which a control
token could begin is escaped, and so is the first one, if a control token that the
template has begun could go on with it. The template is then rendered: whatever spells a
control token now was written by the template, and is exchanged for a private name. Only
then are the escapes undone, and all is encoded at once by a tokenizer that knows the
control tokens by their private names alone. (`sanitize_control_tokens` of transformers
looks for whole tokens in one string; it does not see one assembled across a border.)
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from jinja2.exceptions import TemplateError
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from llm_service.errors import InvalidRequest

# Unicode noncharacters: meant for use inside a program, never in text.
_ESCAPE_START, _ESCAPE_END, _NAME_START, _NAME_END = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_ESCAPED = re.compile("\ufdd0([0-9a-fA-F]{1,6})\ufdd1")
_HALF_ESCAPED = re.compile("[\ufdd0\ufdd1]")
_UNFIT_TEXT = re.compile("[\ufdd0-\ufdd3\ud800-\udfff]")
# Words that templates compare and build on ('<|' + role + '|>'), so they stay as they are.
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_TYPES = frozenset({"text", "function"})
_FIELDS = frozenset(
    {"role", "content", "name", "type", "text", "tool_calls", "tool_call_id", "id", "function"}
    | {"arguments", "reasoning_content", "refusal"}
)
# What templates raise, beside their own errors, over a message that they did not expect.
_UNEXPECTED = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
_MARKUP = re.compile(r"[<>\[\]{}|]")
_HTML_TAG = re.compile(r"</?[a-z]+[1-6]?>")
# the tokenizers library counts in 32 bits
_MAX_TOKEN_ID = 2**32 - 1
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class SealedTokenizer:
    """A `PromptTokenizer` over one of transformers' fast tokenizers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._added = self._backend.get_added_tokens_decoder()
        control = _control_tokens(tokenizer, self._added)
        self._control_ids = frozenset(control.values())
        self._sealer = _Sealer(control)
        self._inner, self._outer_ids = _inner_tokenizer(self._backend, control)
        self._bos = _leading_special_ids(self._backend)
        self._to_bytes = _byte_decoder(self._backend)

    @property
    def has_chat_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    @property
    def control_token_ids(self) -> frozenset[int]:
        """The tokens that only a template can put into a prompt."""
        return self._control_ids

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Render `messages` by the model's template. Raises InvalidRequest, in its words."""
        if not self.has_chat_template:
            raise InvalidRequest(
                "This model has no chat template; use /v1/completions.", param="messages"
            )
        try:
            sealed = [self._sealer.message(message) for message in messages]
            rendered = str(
                self._tokenizer.apply_chat_template(
                    sealed, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except (TemplateError, *_UNEXPECTED) as error:
            words = self._sealer.undo(str(error))
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {words}", param="messages"
            ) from error
        return self._encode(self._sealer.undo(self._sealer.name_control_tokens(rendered)))

    def encode_text(self, text: str) -> list[int]:
        """Plain text, sealed, without a template; with the model's BOS where it has one."""
        return [*self._bos, *self._encode(_UNFIT_TEXT.sub("\ufffd", text))]

    def decode(self, token_ids: Sequence[int]) -> str:
        """All of `token_ids` as text, control tokens included."""
        if unknown := [i for i in token_ids if not 0 <= i <= _MAX_TOKEN_ID]:
            raise InvalidRequest(f"{unknown[0]} is no token id.")
        text: str = self._backend.decode(list(token_ids), skip_special_tokens=False)
        return text

    def token_bytes(self, token_id: int) -> bytes:
        """What the token stands for in the middle of a text; empty for an unused id."""
        if (added := self._added.get(token_id)) is not None:
            return str(added.content).encode()
        return self._to_bytes(self._backend.id_to_token(token_id) or "")

    def token_text(self, token_id: int) -> str:
        """`token_bytes` as text, with U+FFFD for what is no whole character."""
        return self.token_bytes(token_id).decode(errors="replace")

    def _encode(self, text: str) -> list[int]:
        """Ids of `text`, in which control tokens go by their private names."""
        ids: list[int] = []
        for inner_id in self._inner.encode(text, add_special_tokens=False).ids:
            outer_id = self._outer_ids.get(inner_id)
            if outer_id is None and inner_id in self._control_ids:
                ids += self._spell(inner_id)
            else:
                ids.append(inner_id if outer_id is None else outer_id)
        return ids

    def _spell(self, token_id: int) -> list[int]:
        """The control token's text in other tokens, for a vocabulary that merges up to it."""
        content = self._backend.id_to_token(token_id) or ""
        pieces = (content[:1], content[1:])
        ids = [token.id for piece in pieces if piece for token in self._inner.model.tokenize(piece)]
        if not self._control_ids.isdisjoint(ids):
            raise InvalidRequest(f"This model cannot read {content!r} as plain text.")
        return ids


class _Sealer:
    """Escapes what callers send, so that control tokens are spelled by the template alone."""

    def __init__(self, control: Mapping[str, int]) -> None:
        self._control = control
        self._lengths = sorted({len(token) for token in control}, reverse=True)
        self._longest = max(self._lengths, default=0)
        self._ends = frozenset(t[i:] for t in control for i in range(1, len(t)))
        self._first = _any_of({re.escape(token[0]) for token in control})
        self._could_begin = _any_of({_beginning(token) for token in control})

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """`message`, sealed in all its strings. Raises InvalidRequest over an unknown role."""
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise InvalidRequest(
                f"Unknown role {role!r}; roles are {', '.join(sorted(_ROLES))}.", param="messages"
            )
        return {**self._seal(message), "role": role}

    def name_control_tokens(self, rendered: str) -> str:
        """Exchange each control token for its private name: leftmost first, then longest."""
        named, end = [], 0
        for match in self._first.finditer(rendered):
            start = match.start()
            lengths = self._lengths if start >= end else ()
            for length in lengths:
                token_id = self._control.get(rendered[start : start + length])
                if token_id is not None:
                    named += [rendered[end:start], _private_name(token_id)]
                    end = start + length
                    break
        return "".join([*named, rendered[end:]])

    def undo(self, rendered: str) -> str:
        """Take the escapes out; a template that cuts strings may have left half of one."""
        return _HALF_ESCAPED.sub("", _ESCAPED.sub(_unescaped, rendered))

    def _seal(self, value: Any, field: str = "") -> Any:
        if isinstance(value, str):
            return value if field == "type" and value in _TYPES else self._escape(value)
        if isinstance(value, Mapping):
            return {
                k if k in _FIELDS else self._escape(k): self._seal(v, k) for k, v in value.items()
            }
        if isinstance(value, Sequence):
            return [self._seal(item) for item in value]
        return value

    def _escape(self, text: str) -> str:
        text = _UNFIT_TEXT.sub("\ufffd", text)
        start = len(text) - len(text.lstrip())
        if self._could_continue(text[start:].rstrip()):
            head, first, tail = text[:start], text[start], text[start + 1 :]
            return head + _escaped(first) + self._could_begin.sub(lambda m: _escaped(m[0]), tail)
        return self._could_begin.sub(lambda match: _escaped(match[0]), text)

    def _could_continue(self, text: str) -> bool:
        """Whether a control token that was begun before `text` could go on with it."""
        if any(text[:n] in self._ends for n in range(1, self._longest)):
            return True
        return 0 < len(text) < self._longest and any(text in token[1:] for token in self._control)


def _control_tokens(
    tokenizer: PreTrainedTokenizerBase, added: Mapping[int, AddedToken]
) -> dict[str, int]:
    """Added tokens that steer the model, with their ids.

    Those marked special or named by the template, and whatever else looks like markup;
    not the runs of spaces, words and HTML tags that some vocabularies add as plain text.
    """
    template = tokenizer.chat_template or ""
    if isinstance(template, dict):
        template = "".join(template.values())

    def is_control(token: AddedToken) -> bool:
        text = token.content
        if token.special:
            return True
        if text.isspace() or not text:
            return False
        return text in template or bool(_MARKUP.search(text) and not _HTML_TAG.fullmatch(text))

    return {token.content: i for i, token in added.items() if is_control(token)}


def _inner_tokenizer(
    backend: Tokenizer, control: Mapping[str, int]
) -> tuple[Tokenizer, dict[int, int]]:
    """`backend` with private names for control tokens, and its added tokens' true ids."""
    inner = Tokenizer(backend.model)
    if backend.normalizer is not None:
        inner.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        inner.pre_tokenizer = backend.pre_tokenizer
    added = dict(sorted(backend.get_added_tokens_decoder().items()))
    for token_id, token in added.items():
        if token.content in control:
            token.content = _private_name(token_id)
    inner.add_tokens(list(added.values()))
    outer_ids: dict[int, int] = {}
    for token_id, token in added.items():
        inner_id = inner.token_to_id(token.content)
        assert inner_id is not None  # just added
        outer_ids[inner_id] = token_id
    return inner, outer_ids


def _leading_special_ids(backend: Tokenizer) -> tuple[int, ...]:
    """What the tokenizer puts before a plain text: BOS, or nothing."""
    encoding = backend.encode("a", add_special_tokens=True)
    pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
    return tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1], pairs))


def _byte_decoder(backend: Tokenizer) -> Callable[[str], bytes]:
    """From a vocabulary's spelling of a token to its bytes, by the kind of its decoder."""
    kind = repr(backend.decoder)
    if "ByteLevel" in kind:
        of_char = {char: byte for byte, char in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]
        return lambda token: bytes(of_char[char] for char in token if char in of_char)
    if "ByteFallback" in kind:
        return lambda token: (
            bytes.fromhex(m[1]) if (m := _BYTE_TOKEN.fullmatch(token)) else _spaced(token)
        )
    return _spaced


def _spaced(token: str) -> bytes:
    return token.replace("\u2581", " ").encode()


def _beginning(token: str) -> str:
    """A pattern for the characters at which `token` could begin.

    Its first character, whatever comes next, since a template may cut or join strings;
    where that would be every letter of some kind, only where the rest agrees.
    """
    first = re.escape(token[0])
    if len(token) == 1 or not (token[0].isalnum() or token[0].isspace()):
        return first
    rest = (re.escape(token[1:n]) + r"\s*\Z" for n in range(1, len(token)))
    return f"{first}(?={re.escape(token[1:])}|{'|'.join(rest)})"


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)")  # (?!) matches nowhere


def _escaped(char: str) -> str:
    return f"{_ESCAPE_START}{ord(char):x}{_ESCAPE_END}"


def _unescaped(match: re.Match[str]) -> str:
    """The character; nothing for a number that a template has made of the pieces of two."""
    code = int(match[1], 16)
    char = chr(code) if code <= sys.maxunicode else _ESCAPE_START
    return "" if _UNFIT_TEXT.match(char) else char


def _private_name(token_id: int) -> str:
    return f"{_NAME_START}{token_id}{_NAME_END}"
