"""Makes a chat request of the body of POST /v1/responses."""

import json
from typing import Any

from llm_service.api.responses_api.request import (
    AdditionalToolsItem,
    CallOutputItem,
    Content,
    CustomToolCallItem,
    FunctionCallItem,
    FunctionTool,
    Item,
    MessageItem,
    OtherItem,
    Part,
    ReasoningItem,
    ResponsesRequest,
    TextFormat,
)
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.api.translation import Translation
from llm_service.errors import InvalidRequest, UnsupportedParameter

_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
_SYSTEM_ROLES = frozenset({"system", "developer"})


class ResponsesChat(ChatCompletionRequest):
    """The chat request; it names the fields of the body that was sent."""

    prompt_param = "input"

    @property
    def tokens_param(self) -> str:
        return "max_output_tokens"


def translate(body: ResponsesRequest) -> tuple[Translation, ResponsesChat]:
    """Raises InvalidRequest and UnsupportedParameter."""
    result = Translation()
    result.names["messages"] = "input"
    result.set("model", model=body.model)
    result.set("stream", stream=body.stream)
    result.set("max_output_tokens", max_completion_tokens=body.max_output_tokens)
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        result.set(name, **{name: getattr(body, name)})
    if body.reasoning is not None:
        result.set("reasoning.effort", reasoning_effort=body.reasoning.effort)
        result.names["chat_template_kwargs"] = "reasoning.effort"
    if body.text is not None and body.text.format is not None:
        _add_format(result, body.text.format)
    _add_tools(result, body)
    _add_messages(result, body)
    return result, result.chat(ResponsesChat)


def _add_format(result: Translation, format_: TextFormat) -> None:
    if format_.type != "json_schema":
        result.set("text.format", response_format={"type": format_.type})
        return
    if format_.json_schema is None:
        raise InvalidRequest(
            "text.format.schema is required with the type 'json_schema'.",
            param="text.format.schema",
        )
    schema = {
        "name": format_.name or "answer",
        "schema": format_.json_schema,
        "description": format_.description,
        "strict": format_.strict,
    }
    given = {key: value for key, value in schema.items() if value is not None}
    result.set("text.format", response_format={"type": "json_schema", "json_schema": given})
    result.names["response_format.json_schema"] = "text.format"


def _add_tools(result: Translation, body: ResponsesRequest) -> None:
    for name, tool in body.all_tools:
        if isinstance(tool, FunctionTool):
            function = tool.model_dump(include={"name", "description", "parameters", "strict"})
            result.add_tool(name, function)
        else:
            result.skip(name, tool.type)
    choice = body.tool_choice
    if not isinstance(choice, str):
        if choice.type != "function" or choice.name is None:
            raise UnsupportedParameter(
                "tool_choice must be 'none', 'auto', 'required', or an object with the type"
                " 'function' and the name of one of the tools.",
                param="tool_choice",
            )
        named = {"type": "function", "function": {"name": choice.name}}
        result.set("tool_choice", tool_choice=named)
    elif choice == "required" or result.tools:
        result.set("tool_choice", tool_choice=choice)
    if result.tools:
        result.set("parallel_tool_calls", parallel_tool_calls=body.parallel_tool_calls)


def _add_messages(result: Translation, body: ResponsesRequest) -> None:
    if body.instructions:
        name = "instructions"
        result.add_message(name, "system", content=body.instructions, content_name=name)
    if isinstance(body.input, str):
        result.add_message("input", "user", content=body.input, content_name="input")
        return
    for i, item in enumerate(body.input):
        _add_item(result, f"input.{i}", item)
    if not result.messages:
        result.add_message("input", "user", content="")


def _add_item(result: Translation, name: str, item: Item) -> None:
    match item:
        case MessageItem():
            _add_message(result, name, item)
        case ReasoningItem():
            text = "".join(part.text or "" for part in item.content or item.summary)
            if text:
                message = result.message_with_room(name, "assistant", "reasoning_content")
                message["reasoning_content"] = message.get("reasoning_content", "") + text
        case FunctionCallItem():
            message = result.message_with_room(name, "assistant", "tool_calls")
            result.add_call(message, item.call_id, item.name, item.arguments)
        case CustomToolCallItem():
            message = result.message_with_room(name, "assistant", "tool_calls")
            result.add_call(message, item.call_id, item.name, json.dumps({"input": item.input}))
        case CallOutputItem():
            output = f"{name}.output"
            message = result.add_message(
                name, "tool", tool_call_id=item.call_id, content_name=output
            )
            _add_content(result, message, output, item.output)
        case AdditionalToolsItem():
            pass  # see `_add_tools`
        case OtherItem():
            result.skip(name, item.type)


def _add_message(result: Translation, name: str, item: MessageItem) -> None:
    content_name = f"{name}.content"
    if item.role == "assistant":
        message = result.message_with_room(name, "assistant", "content")
        if "content" in message:
            message = result.add_message(name, "assistant")
        _add_content(result, message, content_name, item.content)
    elif item.role in _SYSTEM_ROLES and _is_all_system(result.messages):
        # Many templates accept one system message, at the start.
        if result.messages:
            result.add_text(result.messages[0], "\n\n", separator="")
        else:
            result.add_message(name, "system")
        _add_content(result, result.messages[0], content_name, item.content)
    else:
        role = "system" if item.role == "developer" else item.role
        _add_content(result, result.add_message(name, role), content_name, item.content)


def _is_all_system(messages: list[dict[str, Any]]) -> bool:
    return all(message["role"] == "system" for message in messages)


def _add_content(result: Translation, message: dict[str, Any], name: str, content: Content) -> None:
    """Append `content`, the part `name` of the body, to the content of `message`."""
    parts = [Part(type="text", text=content)] if isinstance(content, str) else content
    result.add_text(message, "", separator="")
    for i, part in enumerate(parts):
        if part.type == "input_image":
            url = _image_url(f"{name}.{i}", part)
            result.add_image(message, f"{name}.{i}.image_url", url, part.detail)
        else:
            result.add_text(message, _part_text(f"{name}.{i}", part), separator="")


def _image_url(name: str, part: Part) -> str:
    if part.image_url is None:
        raise InvalidRequest(
            f"{name} has no image_url. Files are not stored here, so a file_id names none.",
            param=name,
        )
    return part.image_url


def _part_text(name: str, part: Part) -> str:
    if part.type == "refusal":
        return part.refusal or ""
    if part.type not in _TEXT_PARTS:
        raise UnsupportedParameter(
            f"{name} is not supported: it has the type {part.type[:40]!r}. Send input_text or"
            " input_image.",
            param=name,
        )
    if part.text is None:
        raise InvalidRequest(f"{name} has no text.", param=name)
    return part.text
