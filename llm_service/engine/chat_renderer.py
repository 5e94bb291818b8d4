"""Renders messages as the sealed text of a prompt, by a model's chat template, losing nothing.

Before a conversation with a new shape (its roles, fields and empty values) is rendered, a probe
of the same shape is rendered, with canary words in place of the texts. It shows whether the
template expects content as text or as a list of parts, whether every message's text arrives in the
prompt, and which control tokens the template writes. Messages whose text would not arrive are
refused. So are messages for which the template writes other control tokens than for the probe,
because it then derives them from the text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llm_service.engine.chat_template import ChatTemplate, TemplateFailed
from llm_service.engine.sealing import Sealer, change_texts, encodable
from llm_service.errors import InvalidRequest

_MAX_REASON = 500  # characters; a template can put anything into its error
_CACHED_SHAPES = 256
_MAX_CACHED_SHAPE = 20_000  # characters, as JSON
# Conditions on words ("/no_think") may choose other control tokens; no text is made of a word.
_NOT_IN_WORDS = re.compile(r"[^\w\s/-]")
_BREAK = "\ufdd4"

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Probe:
    """How the template renders conversations of one shape."""

    as_parts: frozenset[int]  # messages whose content must be a list of parts
    lost: tuple[int, ...]  # messages whose text does not arrive in the prompt
    control: list[int] | None  # the control tokens that it writes; None: it refuses the canaries

    @property
    def is_clean(self) -> bool:
        return self.control is not None and not self.lost


class ChatRenderer:
    def __init__(self, template: ChatTemplate, sealer: Sealer) -> None:
        self._template = template
        self._sealer = sealer
        self._cached_probe = lru_cache(_CACHED_SHAPES)(self._probe)

    def render(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        """Return the prompt, with private names for control tokens. Raises InvalidRequest."""
        probe = self._probe_of(messages, add_generation_prompt)
        for position in probe.lost:
            raise _lost(position, str(messages[position]["role"]))
        try:
            text, control = self._render(messages, probe.as_parts, add_generation_prompt)
        except TemplateFailed as error:
            words = encodable(self._sealer.undo(str(error)))[:_MAX_REASON]
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {words}", param="messages"
            ) from error
        if control != probe.control and control != self._control_of_words(
            messages, probe.as_parts, add_generation_prompt
        ):
            raise InvalidRequest(
                "The model's chat template would turn text of these messages into control tokens.",
                param="messages",
            )
        return text

    def _render(
        self, messages: Messages, as_parts: frozenset[int], add_generation_prompt: bool
    ) -> tuple[str, list[int]]:
        """Return the sealed text and its control tokens. Raises TemplateFailed."""
        sealed = [self._sealer.message(message) for message in messages]
        for position in as_parts:
            text = sealed[position]["content"]
            sealed[position]["content"] = [{"type": "text", "text": text}]
        rendered = self._template.render(sealed, add_generation_prompt=add_generation_prompt)
        named, control = self._sealer.name_control_tokens(rendered)
        return encodable(self._sealer.undo(named)), control

    def _control_of_words(
        self, messages: Messages, as_parts: frozenset[int], add_generation_prompt: bool
    ) -> list[int] | None:
        """The control tokens that the template writes if the messages have only plain words."""
        words = [change_texts(m, lambda text, _: _NOT_IN_WORDS.sub(_BREAK, text)) for m in messages]
        try:
            return self._render(words, as_parts, add_generation_prompt)[1]
        except TemplateFailed:
            return None

    def _probe_of(self, messages: Messages, add_generation_prompt: bool) -> _Probe:
        shape = json.dumps([_Canaries(i).of(message) for i, message in enumerate(messages)])
        is_short = len(shape) <= _MAX_CACHED_SHAPE
        return (self._cached_probe if is_short else self._probe)(shape, add_generation_prompt)

    def _probe(self, shape: str, add_generation_prompt: bool) -> _Probe:
        """Return the first form of content that loses no text, or the one that loses the least."""
        messages = json.loads(shape)
        plain = self._try(messages, frozenset(), add_generation_prompt)
        if plain.is_clean:
            return plain
        texts = {i for i, m in enumerate(messages) if _has_text(m)}
        spoken = {i for i in texts if messages[i]["role"] != "system"}
        tried = [plain]
        for positions in ({*plain.lost} & texts, texts, spoken):
            tried.append(self._try(messages, frozenset(positions), add_generation_prompt))
            if tried[-1].is_clean:
                break
        return min(tried, key=lambda probe: (probe.control is None, len(probe.lost)))

    def _try(
        self, messages: Messages, as_parts: frozenset[int], add_generation_prompt: bool
    ) -> _Probe:
        try:
            rendered, control = self._render(messages, as_parts, add_generation_prompt)
        except TemplateFailed:
            return _Probe(as_parts, (), None)
        arrived = _Canaries.arrived(rendered)
        lost = [i for i, m in enumerate(messages) if not arrived.issuperset(_Canaries.sent(m))]
        return _Probe(as_parts, tuple(lost), control)


class _Canaries:
    """Numbered words that stand for the texts of a message."""

    # Letters surround the part that is searched for, as templates may cut off a few characters.
    _WORD = re.compile("zj[0-9]{6}j[0-9]{3}jz")
    # A template that does not know parts writes them like this, which is not the caller's text.
    _AS_CODE = re.compile("""["']text["']: ["']qqqq(zj[0-9]{6}j[0-9]{3}jz)""")

    def __init__(self, position: int) -> None:
        self._position = position
        self._count = 0

    def of(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """`message` with canaries for texts, other words for names, and what is empty as it is."""
        return change_texts(message, self._stand_in)

    @classmethod
    def sent(cls, message: Mapping[str, Any]) -> list[str]:
        """The canaries that must arrive: those of the content."""
        return cls._WORD.findall(json.dumps(message.get("content")))

    @classmethod
    def arrived(cls, rendered: str) -> set[str]:
        """The canaries in a prompt; a template may have changed their case."""
        rendered = rendered.casefold()
        return {*cls._WORD.findall(rendered)} - {*cls._AS_CODE.findall(rendered)}

    def _stand_in(self, text: str, field: str) -> str:
        if not text or text.isspace():
            return " " if text else ""
        if field not in ("content", "text"):
            return "n" * len(text)  # templates may check a length, as of an id
        self._count += 1
        return f"qqqqzj{self._position:06}j{self._count:03}jzqqqq"


def _has_text(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, str) and bool(content.strip())


def _lost(position: int, role: str) -> InvalidRequest:
    return InvalidRequest(
        f"The model's chat template drops the text of this message with the role {role!r}:"
        " the model would not see it. Leave it out, or send it with a role that the model knows.",
        param=f"messages.{position}.content",
    )
