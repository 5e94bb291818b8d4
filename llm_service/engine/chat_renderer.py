"""Renders a conversation by a model's chat template as the sealed text of a prompt, losing nothing.

Before a conversation with a new shape (its roles, fields and empty values) is rendered, a probe
of the same shape is rendered, with canary words in place of texts and of the names of functions.
It shows in which form the template takes content (text or a list of parts) and arguments of calls
(objects or JSON text), whether everything arrives in the prompt, and which control tokens the
template writes. If a template drops calls, they are written into the content, as JSON.
Conversations of which something would not arrive are refused. So are those for
which the template writes other control tokens than for the probe, because it then derives them
from the text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from llm_service.engine.chat_template import ChatTemplate, TemplateFailed
from llm_service.engine.conversation import Conversation, calls_of
from llm_service.engine.sealing import END_OF_CONTENT, Sealer, change_texts, encodable
from llm_service.errors import InvalidRequest

_MAX_REASON = 500  # characters; a template can put anything into its error
_CACHED_SHAPES = 256
_MAX_CACHED_SHAPE = 20_000  # characters, as JSON
# Conditions on words ("/no_think") may choose other control tokens; no text is made of a word.
_NOT_IN_WORDS = re.compile(r"[^\w\s/-]")
_BREAK = "\ufdd4"


@dataclass(frozen=True, slots=True)
class _Form:
    """The form in which a template takes what can be written in several ways."""

    parts: frozenset[int] = frozenset()  # messages whose content has to be a list of parts
    has_text_arguments: bool = False  # arguments of calls have to be JSON text
    has_calls_in_content: bool = False  # the template does not write calls


@dataclass(frozen=True, slots=True)
class _Loss:
    """A part of the conversation that does not arrive in the prompt."""

    param: str
    words: str
    message: int | None = None  # its position, if it is the message's content


@dataclass(frozen=True, slots=True)
class _Probe:
    """How the template renders conversations of one shape."""

    form: _Form
    losses: tuple[_Loss, ...]
    control: list[int] | None  # the control tokens that it writes; None: it refuses the canaries

    @property
    def is_clean(self) -> bool:
        return self.control is not None and not self.losses


class ChatRenderer:
    def __init__(self, template: ChatTemplate, sealer: Sealer) -> None:
        self._template = template
        self._sealer = sealer
        self._cached_probe = lru_cache(_CACHED_SHAPES)(self._probe)

    def render(self, conversation: Conversation) -> str:
        """Return the prompt, with private names for control tokens. Raises InvalidRequest."""
        probe = self._probe_of(conversation)
        for loss in probe.losses:
            raise InvalidRequest(loss.words, param=loss.param)
        try:
            text, control = self._render(conversation, probe.form)
        except TemplateFailed as error:
            words = encodable(self._sealer.undo(str(error)))[:_MAX_REASON]
            raise InvalidRequest(
                f"The model's chat template refuses these messages: {words}", param="messages"
            ) from error
        if control != probe.control and control != self._control_of_words(conversation, probe.form):
            raise InvalidRequest(
                "The model's chat template would turn text of these messages into control tokens.",
                param="messages",
            )
        return text

    def _render(self, conversation: Conversation, form: _Form) -> tuple[str, list[int]]:
        """Return the sealed text and its control tokens. Raises TemplateFailed."""
        sealed = self._sealer.conversation(conversation)
        if conversation.continues_final_message:
            _mark_end(sealed.messages[-1])
        for position, message in enumerate(sealed.messages):
            _put_into_form(message, position, form)
        rendered = self._template.render(sealed)
        if conversation.continues_final_message:
            rendered = _up_to_mark(rendered)
        named, control = self._sealer.name_control_tokens(rendered)
        return encodable(self._sealer.undo(named)), control

    def _control_of_words(self, conversation: Conversation, form: _Form) -> list[int] | None:
        """The control tokens that the template writes if the texts have only plain words."""
        words = conversation.changed(
            lambda each: change_texts(each, lambda text, _: _NOT_IN_WORDS.sub(_BREAK, text))
        )
        try:
            return self._render(words, form)[1]
        except TemplateFailed:
            return None

    def _probe_of(self, conversation: Conversation) -> _Probe:
        shape = json.dumps(_with_canaries(conversation).as_dict())
        is_short = len(shape) <= _MAX_CACHED_SHAPE
        return (self._cached_probe if is_short else self._probe)(shape)

    def _probe(self, shape: str) -> _Probe:
        """Return the first form that loses nothing, or the one that loses the least."""
        tried: list[_Probe] = []
        for probe in self._attempts(Conversation(**json.loads(shape))):
            tried.append(probe)
            if probe.is_clean:
                break
        return min(tried, key=lambda probe: (probe.control is None, len(probe.losses)))

    def _attempts(self, conversation: Conversation) -> Iterator[_Probe]:
        messages = conversation.messages
        texts = {i for i, m in enumerate(messages) if _has_text(m)}
        spoken = {i for i in texts if messages[i]["role"] != "system"}
        forms = [_Form()]
        if any(map(calls_of, messages)):
            forms += [_Form(has_text_arguments=True), _Form(has_calls_in_content=True)]
        for form in forms:
            plain = self._try(conversation, form)
            yield plain
            lost = {loss.message for loss in plain.losses if loss.message is not None}
            for parts in (lost & texts, texts, spoken):
                yield self._try(conversation, replace(form, parts=frozenset(parts)))

    def _try(self, conversation: Conversation, form: _Form) -> _Probe:
        try:
            rendered, control = self._render(conversation, form)
        except TemplateFailed:
            return _Probe(form, (), None)
        return _Probe(form, tuple(_losses(conversation, rendered)), control)


def _put_into_form(message: Any, position: int, form: _Form) -> None:
    if form.has_calls_in_content and calls_of(message):
        _write_calls(message)
    if position in form.parts:
        message["content"] = [{"type": "text", "text": message["content"]}]
    for function in calls_of(message) if form.has_text_arguments else ():
        if not isinstance(function["arguments"], str):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)


def _write_calls(message: Any) -> None:
    """Put the calls of a message at the end of its content, a line of JSON for each."""
    calls = [json.dumps(call, ensure_ascii=False) for call in calls_of(message)]
    del message["tool_calls"]
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = [*content, {"type": "text", "text": "\n".join(calls)}]
    else:
        message["content"] = "\n".join(filter(None, [content, *calls]))


def _mark_end(message: Any) -> None:
    content = message.get("content") or ""
    if isinstance(content, str):
        message["content"] = content + END_OF_CONTENT
    elif "text" in content[-1]:
        content[-1]["text"] += END_OF_CONTENT
    else:
        content.append({"type": "text", "text": END_OF_CONTENT})


def _up_to_mark(rendered: str) -> str:
    """Raises TemplateFailed if the template has not written the content of the final message."""
    end = rendered.rfind(END_OF_CONTENT)
    if end < 0:
        raise TemplateFailed("It does not write the final message, so it cannot be continued.")
    return rendered[:end].replace(END_OF_CONTENT, "")


def _losses(conversation: Conversation, rendered: str) -> Iterator[_Loss]:
    """What of a conversation of canaries is not in the prompt."""
    arrived = _Canaries.arrived(rendered)
    for position, message in enumerate(conversation.messages):
        if not arrived.issuperset(_Canaries.words(message.get("content"))):
            yield _lost_text(position, str(message["role"]))
        calls = calls_of(message)
        names = _Canaries.words([call["name"] for call in calls])
        if not arrived.issuperset(names) or _is_python(calls, rendered):
            yield _lost_calls(position)
    if not arrived.issuperset(_Canaries.words([t["function"]["name"] for t in conversation.tools])):
        yield _LOST_TOOLS


def _is_python(calls: list[dict[str, Any]], rendered: str) -> bool:
    """Whether a template that expects text has written objects as Python's code."""
    names = {
        name for call in calls if isinstance(call["arguments"], dict) for name in call["arguments"]
    }
    return any(f"{name!r}: " in rendered for name in names)


def _with_canaries(conversation: Conversation) -> Conversation:
    first_tool = len(conversation.messages)
    messages = [_Canaries(i).of(message) for i, message in enumerate(conversation.messages)]
    tools = [_Canaries(first_tool + i).of(tool) for i, tool in enumerate(conversation.tools)]
    schema = conversation.answer_schema
    if schema is not None:
        schema = change_texts(schema, lambda text, _: "n" * len(text))
    return replace(conversation, messages=messages, tools=tools, answer_schema=schema)


class _Canaries:
    """Numbered words that stand for the texts of a message, or for the name of a tool."""

    # Letters surround the part that is searched for, as templates may cut off a few characters.
    _WORD = re.compile("zj[0-9]{6}j[0-9]{3}jz")
    # A template that does not know parts writes them like this, which is not the caller's text.
    _AS_CODE = re.compile("""["']text["']: ["']qqqq(zj[0-9]{6}j[0-9]{3}jz)""")

    def __init__(self, position: int) -> None:
        self._position = position
        self._count = 0

    def of(self, each: Mapping[str, Any]) -> dict[str, Any]:
        """`each` with canaries for texts and for names of functions, and other words for names.

        What is empty stays empty.
        """
        changed = change_texts(each, self._stand_in)
        functions = calls_of(changed) if "role" in changed else [changed["function"]]
        for function in functions:
            function["name"] = self._next()
        return changed

    @classmethod
    def words(cls, value: Any) -> list[str]:
        """The canaries in `value`."""
        return cls._WORD.findall(json.dumps(value))

    @classmethod
    def arrived(cls, rendered: str) -> set[str]:
        """The canaries in a prompt; a template may have changed their case."""
        rendered = rendered.casefold()
        return {*cls._WORD.findall(rendered)} - {*cls._AS_CODE.findall(rendered)}

    def _stand_in(self, text: str, field: str) -> str:
        if not text or text.isspace():
            return " " if text else ""
        # templates may check a length, as of an id
        return self._next() if field in ("content", "text") else "n" * len(text)

    def _next(self) -> str:
        self._count += 1
        return f"qqqqzj{self._position:06}j{self._count:03}jzqqqq"


def _has_text(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, str) and bool(content.strip())


def _lost_text(position: int, role: str) -> _Loss:
    return _Loss(
        f"messages.{position}.content",
        f"The model's chat template drops the text of this message with the role {role!r}:"
        " the model would not see it. Leave it out, or send it with a role that the model knows.",
        position,
    )


def _lost_calls(position: int) -> _Loss:
    return _Loss(
        f"messages.{position}.tool_calls",
        "The model's chat template does not write tool calls: the model would not see them.",
    )


_LOST_TOOLS = _Loss(
    "tools", "The model's chat template has no place for tools: the model would not see them."
)
