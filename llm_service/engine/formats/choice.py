"""Chooses the format of a model.

A probe with calls to a tool is rendered by the model's chat template. The first declaration whose
spelling of these calls is in the rendered text is the model's format, with the template's own
whitespace. If the probe shows nothing, the delimiters in the template's source decide, and if it
has nothing about calls, the vocabulary and the type of the model. A template that writes calls
in another way than all declarations has none of these formats. A checkpoint's own
`response_template` goes before all of these.
"""

import json
from dataclasses import replace
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from llm_service.engine.conversation import Conversation
from llm_service.engine.formats.declarations import (
    BY_NAME,
    DECLARATIONS,
    LLAMA_JSON,
    MODEL_TYPES,
    PLAIN,
    REASONING_ONLY,
    REASONINGS,
    Calls,
    Declaration,
    NamedBody,
    Reasoning,
    XmlBody,
)
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.model_format import ModelFormat
from llm_service.engine.formats.response_template import read_response_template
from llm_service.engine.formats.spelling import adapted
from llm_service.engine.tokenization import SealedTokenizer

FORMAT_NAMES = tuple(BY_NAME)
_UNREAD = (
    "has a response_template that cannot be read here: its chat template shows how it writes calls"
)
_NAME = "look_up"
_ARGUMENTS = {"place": "Paris"}


def choose_format(
    tokenizer: PreTrainedTokenizerBase, model_type: str, override: str | None = None
) -> ModelFormat:
    """Return the format of a model of `model_type`, or the one that is named by `override`.

    Raises ValueError if there is no format of that name.
    """
    if override is not None and override not in BY_NAME:
        raise ValueError(f"There is no format {override!r}; formats: {', '.join(FORMAT_NAMES)}.")
    if override == PLAIN.name:
        return ModelFormat(PLAIN)
    model = _Model(tokenizer, model_type)
    if override is not None:
        return _bound(model.with_reasoning(BY_NAME[override]), tokenizer)
    stated = getattr(tokenizer, "response_template", None)
    declaration = None if stated is None else read_response_template(stated)
    if declaration is not None:
        return _bound(model.with_own_whitespace(declaration), tokenizer)
    notes = () if stated is None else (_UNREAD,)
    return _bound(model.with_reasoning(model.calls()), tokenizer, notes)


class _Model:
    """What can be seen of a model without its weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model_type: str) -> None:
        self._tokenizer = tokenizer
        self._model_type = model_type
        self._added = set(tokenizer.get_added_vocab())
        template = tokenizer.chat_template or ""
        if isinstance(template, dict):
            template = template.get("default") or ""
        self._template: str = template

    def calls(self) -> Declaration:
        """Return the declaration of the model's calls."""
        for declaration in DECLARATIONS:
            if (own := self._as_rendered(declaration)) is not None:
                return own
        if self._writes_calls_otherwise:
            return PLAIN
        named = (each for each in DECLARATIONS if each.calls and self._names(each.calls))
        return next(named, None) or self._by_vocabulary()

    def with_own_whitespace(self, declaration: Declaration) -> Declaration:
        """Return the declaration with the whitespace of the chat template, if that is seen."""
        return self._as_rendered(declaration) or declaration

    def with_reasoning(self, declaration: Declaration) -> Declaration:
        """Return the declaration with the reasoning that this model has, or none."""
        reasoning = next(filter(self._has_reasoning, REASONINGS), None)
        if reasoning is None and declaration == REASONING_ONLY:
            return PLAIN
        if reasoning is not None and declaration == PLAIN:
            declaration = REASONING_ONLY
        return replace(declaration, reasoning=reasoning)

    def _as_rendered(self, declaration: Declaration) -> Declaration | None:
        """Return the declaration as the template writes it; None: it does not."""
        calls = declaration.calls
        own = None if calls is None else adapted(calls, _NAME, _ARGUMENTS, self._rendered)
        return None if own is None else replace(declaration, calls=own)

    @cached_property
    def _rendered(self) -> str:
        return _rendered(self._tokenizer) if "tool_calls" in self._template else ""

    @property
    def _writes_calls_otherwise(self) -> bool:
        """Whether the template writes calls, in a way that is not declared."""
        as_text = json.dumps({"name": _NAME, "arguments": _ARGUMENTS})  # for one that drops them
        return _ARGUMENTS["place"] in self._rendered and as_text not in self._rendered

    def _has_reasoning(self, reasoning: Reasoning) -> bool:
        delimiters = {reasoning.open, reasoning.close}
        if self._template:
            return any(each in self._template for each in delimiters)
        return delimiters <= self._added

    def _names(self, calls: Calls) -> bool:
        """Whether the source of the template has the delimiters of `calls`."""
        needed = [calls.begin or '"parameters": ', calls.end]
        match calls.body:
            case XmlBody():
                needed.append("<function=")
            case NamedBody(separator):
                needed.append(separator)
        if calls == LLAMA_JSON.calls:
            needed.append(calls.also_begin)
        return all(each in self._template for each in needed)

    def _by_vocabulary(self) -> Declaration:
        """Return what the type of the model suggests, if its vocabulary has the delimiters."""
        if "tool_calls" in self._template:  # it writes calls, in a way that is not declared
            return PLAIN
        for model_types, declaration in MODEL_TYPES.items():
            calls = declaration.calls
            if self._model_type.startswith(model_types) and calls and calls.begin in self._added:
                return declaration
        return PLAIN


def _rendered(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a conversation with calls as the chat template writes it; empty if it refuses."""
    sealed = SealedTokenizer(tokenizer)
    for num_calls in (2, 1):  # some templates accept only one
        try:
            ids = sealed.encode_chat(_probe(num_calls))
        except Exception:  # noqa: S112  # templates are programs
            continue
        return sealed.decode(ids)
    return ""


def _probe(num_calls: int) -> Conversation:
    # Some templates demand ids of nine letters and digits.
    ids = [f"call0000{i}" for i in range(num_calls)]
    call = {"name": _NAME, "arguments": dict(_ARGUMENTS)}
    parameters = {"type": "object", "properties": {key: {"type": "string"} for key in _ARGUMENTS}}
    tool = {"name": _NAME, "description": "Look up a place.", "parameters": parameters}
    return Conversation(
        messages=[
            {"role": "user", "content": "Where?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": i, "type": "function", "function": call} for i in ids],
            },
            *({"role": "tool", "tool_call_id": i, "name": _NAME, "content": "ok"} for i in ids),
        ],
        tools=[{"type": "function", "function": tool}],
        add_generation_prompt=False,
    )


def _bound(
    declaration: Declaration, tokenizer: PreTrainedTokenizerBase, notes: tuple[str, ...] = ()
) -> ModelFormat:
    backend = tokenizer.backend_tokenizer
    added = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
    ids = {each: added[each] for each in declaration.delimiters if each in added}
    return ModelFormat(
        declaration,
        Delimiters(ids),
        decode=lambda ids: backend.decode(list(ids), skip_special_tokens=False),
        encode=lambda text: backend.encode(text, add_special_tokens=False).ids,
        notes=notes,
    )
