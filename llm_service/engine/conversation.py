"""What a chat template renders: messages, tools, and the variables that a caller may set."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from llm_service.engine.picture import Picture

Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages (role, content, ...) and tools, in the form in which templates take them.

    The content of a message with images is a list of parts, `{"type": "text", "text": ...}` and
    `{"type": "image"}`. `pictures` has the images in the order of these parts; templates do not
    get them. The arguments of calls in `messages` are objects, or text if they are not valid JSON.
    `variables` are further names that the template knows, such as `enable_thinking`. If
    `continues_final_message` is true, the prompt ends where the last message's content ends, so
    that the model goes on with it. `answer_schema` is the JSON schema that the answer has to fit,
    for templates that have a place for it.
    """

    messages: Objects
    tools: Objects = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    add_generation_prompt: bool = True
    continues_final_message: bool = False
    answer_schema: Mapping[str, Any] | None = None
    pictures: Sequence[Picture] = ()

    def changed(self, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> "Conversation":
        """Return the conversation with `change` applied to each message, tool and schema."""
        schema = self.answer_schema
        return replace(
            self,
            answer_schema=None if schema is None else change(schema),
            messages=[change(message) for message in self.messages],
            tools=[change(tool) for tool in self.tools],
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what `Conversation(**...)` takes, for JSON; without the pictures."""
        stated = asdict(replace(self, pictures=()))
        del stated["pictures"]
        return stated

    def shape_key(self) -> str:
        return json.dumps(self.as_dict())


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the functions that the message calls: name and arguments."""
    calls = message.get("tool_calls")
    return [call["function"] for call in calls] if isinstance(calls, list) else []
