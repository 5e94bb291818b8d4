"""Makes a chat request of the body of another protocol.

An error about the chat request gets the names that its fields have in the body that was sent.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError
from starlette.responses import Response

from llm_service.api.handlers import from_validation
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.errors import ServiceError

log = structlog.get_logger()

SKIPPED_HEADER = "X-Skipped"
_MAX_SKIPPED = 32  # so many are named, each with so many characters of its type
_MAX_TYPE = 40
_ORDER = ("reasoning_content", "content", "tool_calls")  # of the fields of one message
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]")

C = TypeVar("C", bound=ChatCompletionRequest)


@dataclass(slots=True)
class Translation:
    """The fields of a chat request, and what became of the body that they were made of."""

    fields: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    # Names in the body by names in the chat request; a name stands for all that begin with it.
    names: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def add_message(
        self, name: str, role: str, *, content_name: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Append a message, made of the part `name` of the body, and return it.

        `content_name` is the part that its content is made of, by default `name`.content.
        """
        position = f"messages.{len(self.messages)}"
        self.names[position] = name
        self.names[f"{position}.content"] = content_name or f"{name}.content"
        message = {"role": role, **fields}
        self.messages.append(message)
        return message

    def message_with_room(self, name: str, role: str, field: str) -> dict[str, Any]:
        """Return the message that `field`, made of the part `name` of the body, belongs to.

        It is the last one, if that has the role and no later field than this one (reasoning comes
        before content, and calls come last), else a new one.
        """
        last = self.messages[-1] if self.messages else None
        later = _ORDER[_ORDER.index(field) + 1 :]
        if last is not None and last["role"] == role and not any(each in last for each in later):
            return last
        return self.add_message(name, role)

    def add_tool(self, name: str, function: dict[str, Any]) -> None:
        """Append a tool; fields of `function` that are None are left out."""
        self.names[f"tools.{len(self.tools)}.function"] = name
        self.names[f"tools.{len(self.tools)}"] = name
        given = {key: value for key, value in function.items() if value is not None}
        self.tools.append({"type": "function", "function": given})

    def add_call(self, message: dict[str, Any], call_id: str, name: str, arguments: str) -> None:
        """Append a call to an assistant message."""
        function = {"name": name, "arguments": arguments}
        call = {"id": call_id, "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)

    def add_text(self, message: dict[str, Any], text: str, *, separator: str) -> None:
        """Append text to the content of `message`: to a text before it, after `separator`."""
        content = message.get("content")
        if isinstance(content, list):
            if content[-1]["type"] != "text":
                content.append({"type": "text", "text": text})
                return
            before = content[-1]["text"]
            content[-1]["text"] = f"{before}{separator if before else ''}{text}"
        else:
            message["content"] = f"{content or ''}{separator if content else ''}{text}"

    def add_image(
        self, message: dict[str, Any], name: str, url: str, detail: str | None = None
    ) -> None:
        """Append an image, made of the part `name` of the body, to the last message's content."""
        content = message.get("content")
        if not isinstance(content, list):
            content = [{"type": "text", "text": content}] if content else []
            message["content"] = content
        image = {"url": url} if detail is None else {"url": url, "detail": detail}
        position = f"messages.{len(self.messages) - 1}.content.{len(content)}.image_url"
        self.names[position] = name
        content.append({"type": "image_url", "image_url": image})

    def set(self, name: str, **fields: Any) -> None:
        """Set fields, made of the part `name` of the body, that are not None."""
        for chat_name, value in fields.items():
            if value is not None:
                self.fields[chat_name] = value
                self.names[chat_name] = name

    def skip(self, name: str, kind: str) -> None:
        """Note that the part `name`, of type `kind`, is not used."""
        self.skipped.append(f"{name} ({_NOT_PLAIN.sub('_', kind[:_MAX_TYPE])})")

    def chat(self, request: type[C]) -> C:
        """Return the chat request. Raises InvalidRequest."""
        for message in self.messages:
            message.setdefault("content", None if "tool_calls" in message else "")
        tools = {"tools": self.tools} if self.tools else {}
        with self.own_names():
            try:
                return request.model_validate({**self.fields, "messages": self.messages, **tools})
            except ValidationError as error:
                first = error.errors()[0]
                raise from_validation({**first, "loc": ("body", *first["loc"])}) from None

    @contextmanager
    def own_names(self) -> Iterator[None]:
        """Give errors about the chat request the names of the body that was sent."""
        try:
            yield
        except ServiceError as error:
            if error.param is not None:
                name = self._own_name(error.param)
                # An error either begins with the field's name or has it as one of its words.
                is_named = "." in error.param or error.message.startswith(error.param)
                if is_named:
                    error.message = error.message.replace(error.param, name)
                error.param = name
            raise

    def report_skipped(self, response: Response) -> Response:
        """Name what was skipped in a header and in one line of the log."""
        if self.skipped:
            named = self.skipped[:_MAX_SKIPPED]
            response.headers[SKIPPED_HEADER] = ", ".join(named)
            log.info("parts of a request were skipped", parts=named, num_parts=len(self.skipped))
        return response

    def _own_name(self, param: str) -> str:
        """Replace the longest part of `param` that has a name."""
        known, rest = param, ""
        while known and known not in self.names:
            known, _, step = known.rpartition(".")
            rest = f".{step}{rest}"
        return self.names[known] + rest if known else param
