"""Owns a conversation and its rendering in ChatML, span by span, for the training loss.

The committed `chat_template.jinja` renders the same text; a test compares the two. The template
cannot say which characters the assistant wrote, and the loss needs exactly that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    'within <tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, '
    '"arguments": <args-json-object>}\n</tool_call>'
)
GENERATION_PROMPT = "<|im_start|>assistant\n"


def tool_calls_text(calls: Sequence[str]) -> str:
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)


@dataclass(frozen=True)
class Span:
    """A stretch of text; `learnt` marks what the assistant wrote."""

    text: str
    learnt: bool


@dataclass
class Conversation:
    """Messages in the OpenAI shape, with the system prompt and tools kept apart."""

    system: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        head = self._system_text()
        if head:
            self.spans.append(Span(f"<|im_start|>system\n{head}<|im_end|>\n", False))
        if self.system:
            self.messages.append({"role": "system", "content": self.system})

    def _system_text(self) -> str:
        if not self.tools:
            return self.system
        schemas = "".join(f"\n{json.dumps(tool, ensure_ascii=False)}" for tool in self.tools)
        intro = f"{self.system}\n\n" if self.system else ""
        return f"{intro}{_TOOLS_HEAD}{schemas}{_TOOLS_TAIL}"

    def user(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})
        self.spans.append(Span(f"<|im_start|>user\n{text}<|im_end|>\n", False))

    def assistant(self, text: str) -> None:
        self.messages.append({"role": "assistant", "content": text})
        self._reply(text)

    def tool_calls(self, calls: Sequence[str]) -> None:
        made = [{"type": "function", "function": json.loads(call)} for call in calls]
        self.messages.append({"role": "assistant", "content": "", "tool_calls": made})
        self._reply(tool_calls_text(calls))

    def tool_results(self, results: Sequence[str]) -> None:
        self.messages += [{"role": "tool", "content": result} for result in results]
        text = "\n".join(f"<tool_response>\n{each}\n</tool_response>" for each in results)
        self.spans.append(Span(f"<|im_start|>user\n{text}<|im_end|>\n", False))

    def _reply(self, text: str) -> None:
        self.spans.append(Span(GENERATION_PROMPT, False))
        self.spans.append(Span(f"{text}<|im_end|>", True))
        self.spans.append(Span("\n", False))

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)

    @property
    def prompt(self) -> str:
        return self.text + GENERATION_PROMPT
