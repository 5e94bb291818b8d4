"""Seals a chat: the text of a message can never become a control token.

Separates the output of a chat template, which may contain control tokens, from the text of
callers, which may not. It knows only the spelling of control tokens, and needs no tokenizer and no
template engine.

In every string of the messages, each character at which a control token could begin is escaped. So
is the first character, if it could continue a control token that the template has begun. Then the
template is rendered. Every control token in the result was written by the template, and is
replaced by a private name. After that the escapes are undone, and the whole text is encoded by a
tokenizer that knows control tokens only by their private names. (`sanitize_control_tokens` of
transformers looks for whole tokens in one string, so it misses a token that is assembled from
the ends of two strings.)

A template may still compute control tokens from text that contains none (`striptags` turns `&lt;`
into `<`). `chat_renderer` detects this by comparing the tokens that `name_control_tokens` returns
with those of a harmless conversation.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llm_service.engine.conversation import Conversation
from llm_service.errors import InvalidRequest

# Unicode noncharacters: for use inside a program, not in text.
_ESCAPE_START, _ESCAPE_END, _NAME_START, _NAME_END = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_ESCAPED = re.compile("\ufdd0([0-9a-fA-F]{1,6})\ufdd1")
_SURROGATES = re.compile("[\ud800-\udfff]")
_UNFIT_TEXT = re.compile("[\ufdd0-\ufdd3\ud800-\udfff]")
# Templates compare these words and build tokens from them ('<|' + role + '|>'): not escaped.
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# JSON schemas have types, too, by which some templates decide what to write.
_TYPES = frozenset(
    {"text", "function", "object", "array", "string", "number", "integer", "boolean", "null"}
)
# Templates compare its type, and write the placeholder of an image for it.
_IMAGE_PART = {"type": "image"}
_FIELDS = frozenset(
    {"role", "content", "name", "type", "text", "tool_calls", "tool_call_id", "id", "function"}
    | {"arguments", "reasoning_content", "refusal", "description", "parameters", "properties"}
    | {"required", "items", "enum", "default", "additionalProperties", "anyOf", "oneOf", "allOf"}
    | {"format", "nullable", "$defs", "$ref", "definitions", "title", "minimum", "maximum"}
)
# Marks where the content of a final message ends that the model goes on with.
END_OF_CONTENT = "\ufdd5"

# Returns a new text for a text; the second argument is the name of its field.
Change = Callable[[str, str], str]


def private_name(token_id: int) -> str:
    """Return the private name of a control token, used between rendering and encoding."""
    return f"{_NAME_START}{token_id}{_NAME_END}"


def clean(text: str) -> str:
    """Return `text` with U+FFFD for characters that tokenizers reject or that sealing uses.

    It uses `replace`, as a regular expression is 50 times slower on many such characters.
    """
    for char in (_ESCAPE_START, _ESCAPE_END, _NAME_START, _NAME_END, END_OF_CONTENT):
        text = text.replace(char, "\ufffd")
    return encodable(text)


def encodable(text: str) -> str:
    """Return `text` with U+FFFD for lone surrogates, which cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def change_texts(message: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Return `message`, or a tool, with `change` applied to values and to names of callers."""
    return {
        name if name in _FIELDS else change(name, ""): (
            value if name == "role" else _changed(value, name, change)
        )
        for name, value in message.items()
    }


def _changed(value: Any, field: str, change: Change) -> Any:
    if isinstance(value, str):
        return value if field == "type" and value in _TYPES else change(value, field)
    if value == _IMAGE_PART:
        return dict(_IMAGE_PART)
    if isinstance(value, Mapping):
        return {
            k if k in _FIELDS else change(k, ""): _changed(v, k, change) for k, v in value.items()
        }
    if isinstance(value, Sequence):
        return [_changed(item, field, change) for item in value]
    return value


class Sealer:
    """Escapes the text of callers, so that only the template can write control tokens."""

    def __init__(self, control: Mapping[str, int]) -> None:
        """`control`: the control tokens and their ids."""
        self._control = control
        self._lengths = sorted({len(token) for token in control}, reverse=True)
        self._longest = max(self._lengths, default=0)
        self._ends = frozenset(t[i:] for t in control for i in range(1, len(t)))
        self._tails = _NAME_START.join(token[1:] for token in control)
        firsts = {token[0] for token in control}
        self._first = _any_of(map(re.escape, firsts))
        # Nearly all control tokens begin with one of a few symbols; `replace` escapes these fast.
        self._signs = {char: _escaped(char) for char in firsts if not _is_common(char)}
        beginnings = {_beginning(token) for token in control if _is_common(token[0])}
        self._could_begin = _any_of(beginnings) if beginnings else None

    def conversation(self, conversation: Conversation) -> Conversation:
        """Return `conversation` with all strings of messages, tools and the schema sealed.

        Raises InvalidRequest for an unknown role.
        """
        for message in conversation.messages:
            role = message.get("role")
            if not isinstance(role, str) or role not in _ROLES:
                raise InvalidRequest(
                    f"Unknown role {role!r}; roles are {', '.join(sorted(_ROLES))}.",
                    param="messages",
                )
        return conversation.changed(lambda each: change_texts(each, self._escape))

    def name_control_tokens(self, rendered: str) -> tuple[str, list[int]]:
        """Replace control tokens by their private names, and return their ids as well.

        The leftmost token is replaced first, and of those the longest. Private names that are
        already in the text are removed, because the template did not write them.
        """
        rendered = rendered.replace(_NAME_START, "").replace(_NAME_END, "")
        named: list[str] = []
        ids: list[int] = []
        end = 0
        for match in self._first.finditer(rendered):
            start = match.start()
            lengths = self._lengths if start >= end else ()
            for length in lengths:
                token_id = self._control.get(rendered[start : start + length])
                if token_id is not None:
                    named += [rendered[end:start], private_name(token_id)]
                    ids.append(token_id)
                    end = start + length
                    break
        return "".join([*named, rendered[end:]]), ids

    def undo(self, rendered: str) -> str:
        """Undo the escapes, including incomplete ones left by a template that cuts strings."""
        if _ESCAPE_START not in rendered and _ESCAPE_END not in rendered:
            return rendered
        for char, escape in self._signs.items():
            rendered = rendered.replace(escape, char)
        rendered = _ESCAPED.sub(_unescaped, rendered)
        return rendered.replace(_ESCAPE_START, "").replace(_ESCAPE_END, "")

    def _escape(self, text: str, field: str = "") -> str:
        head, tail = "", clean(text)
        start = len(tail) - len(tail.lstrip())
        if self._could_continue(tail[start:].rstrip()):
            head, tail = tail[:start] + _escaped(tail[start]), tail[start + 1 :]
        if self._could_begin is not None:
            tail = self._could_begin.sub(lambda match: _escaped(match[0]), tail)
        for char, escape in self._signs.items():
            tail = tail.replace(char, escape)
        return head + tail

    def _could_continue(self, text: str) -> bool:
        """Whether a control token that begins before `text` could continue in it."""
        if any(text[:n] in self._ends for n in range(1, self._longest)):
            return True
        return 0 < len(text) < self._longest and text in self._tails


def _is_common(char: str) -> bool:
    """Whether `char` is common in text: escaping it everywhere would be too much."""
    return char.isalnum() or char.isspace()


def _beginning(token: str) -> str:
    """Return a pattern for the places where `token` could begin; its first character is common.

    There the rest of the token follows, or a part of the rest and then the end of the text.
    """
    first = re.escape(token[0])
    if len(token) == 1:
        return first
    rest = (re.escape(token[1:n]) + r"\s*\Z" for n in range(1, len(token)))
    return f"{first}(?={re.escape(token[1:])}|{'|'.join(rest)})"


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)")  # (?!) matches nowhere


def _escaped(char: str) -> str:
    return f"{_ESCAPE_START}{ord(char):x}{_ESCAPE_END}"


def _unescaped(match: re.Match[str]) -> str:
    """Return the character; empty for a number that a template has joined from two escapes."""
    code = int(match[1], 16)
    char = chr(code) if code <= sys.maxunicode else _ESCAPE_START
    return "" if _UNFIT_TEXT.match(char) else char
