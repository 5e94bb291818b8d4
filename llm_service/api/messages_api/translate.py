"""Makes a chat request of the body of POST /v1/messages or /v1/messages/count_tokens."""

import json
from collections.abc import Iterator

from llm_service.api.messages_api.request import (
    Block,
    CustomTool,
    ImageBlock,
    MessageIn,
    MessagesRequest,
    OtherBlock,
    PromptBody,
    TextBlock,
    TextOrBlocks,
    TextOrOther,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.api.translation import Translation
from llm_service.errors import InvalidRequest, UnsupportedParameter

# Claude Code puts a block first whose text changes with every request: the prompt would never begin
# like an earlier one, and the prefix cache would be of no use.
BILLING_HEADER = "x-anthropic-billing-header:"


class MessagesChat(ChatCompletionRequest):
    """The chat request; it names the fields of the body that was sent."""

    @property
    def requested_tokens(self) -> int | None:
        return None

    @property
    def most_tokens(self) -> int | None:
        """The context may end the answer earlier, as at Anthropic; the stop reason says so."""
        return self.max_tokens


def translate(body: PromptBody, *, sees: bool = False) -> tuple[Translation, MessagesChat]:
    """Return the chat request. `sees`: whether the model takes images.

    Raises InvalidRequest and UnsupportedParameter.
    """
    result = Translation()
    result.set("model", model=body.model)
    if isinstance(body, MessagesRequest):
        result.set("max_tokens", max_tokens=body.max_tokens)
        result.set("stop_sequences", stop=body.stop_sequences or None)
        for name in ("stream", "temperature", "top_p", "top_k"):
            result.set(name, **{name: getattr(body, name)})
    _add_thinking(result, body)
    _add_format(result, body)
    _add_tools(result, body)
    _add_system(result, body.system)
    for i, message in enumerate(body.messages):
        _add_message(result, f"messages.{i}", message, sees)
    last = result.messages[-1] if result.messages else {}
    if last.get("role") == "assistant" and "tool_calls" not in last:
        result.set("messages", continue_final_message=True)
    return result, result.chat(MessagesChat)


def _add_thinking(result: Translation, body: PromptBody) -> None:
    """Thinking is off unless it was asked for, where the chat template can turn it off."""
    is_on = body.thinking is not None and body.thinking.type != "disabled"
    result.set("thinking", enable_thinking=is_on)
    if body.thinking is not None and is_on:
        result.set("thinking.budget_tokens", max_reasoning_tokens=body.thinking.budget_tokens)
    if body.output_config is not None:
        result.set("output_config.effort", reasoning_effort=body.output_config.effort)
        result.names["chat_template_kwargs"] = "output_config.effort"


def _add_format(result: Translation, body: PromptBody) -> None:
    name, format_ = "output_format", body.output_format
    if body.output_config is not None and body.output_config.format is not None:
        name, format_ = "output_config.format", body.output_config.format
    if format_ is not None:
        schema = {"name": "answer", "schema": format_.json_schema, "strict": True}
        result.set(name, response_format={"type": "json_schema", "json_schema": schema})
        result.names["response_format.json_schema"] = name


def _add_tools(result: Translation, body: PromptBody) -> None:
    for i, tool in enumerate(body.tools):
        if isinstance(tool, CustomTool):
            function = tool.model_dump(include={"name", "description", "strict"})
            result.add_tool(f"tools.{i}", {**function, "parameters": tool.input_schema})
            result.names[f"tools.{len(result.tools) - 1}.function.parameters"] = (
                f"tools.{i}.input_schema"
            )
        else:
            result.skip(f"tools.{i}", tool.type)
    choice = body.tool_choice
    if choice is None:
        return
    if choice.type == "tool" and choice.name is None:
        raise InvalidRequest(
            "tool_choice.name is required with the type 'tool'.", param="tool_choice.name"
        )
    if result.tools or choice.type in ("any", "tool"):
        named = {"type": "function", "function": {"name": choice.name}}
        modes = {"auto": "auto", "any": "required", "none": "none", "tool": named}
        result.set("tool_choice", tool_choice=modes[choice.type])
        result.set("tool_choice", parallel_tool_calls=not choice.disable_parallel_tool_use)


def _add_system(result: Translation, system: TextOrBlocks) -> None:
    if not isinstance(system, str):
        system = "\n".join(_system_texts(result, system))
    if system:
        result.add_message("system", "system", content=system, content_name="system")


def _system_texts(result: Translation, blocks: list[TextOrOther]) -> Iterator[str]:
    for i, block in enumerate(blocks):
        if not isinstance(block, TextBlock):
            result.skip(f"system.{i}", block.type)
        elif not block.text.startswith(BILLING_HEADER):
            yield block.text


def _add_message(result: Translation, name: str, message: MessageIn, sees: bool) -> None:
    """Add the blocks of a message.

    Messages of one role in succession are one turn, as at Anthropic; `system` speaks in the user's.
    """
    role = "assistant" if message.role == "assistant" else "user"
    if isinstance(message.content, str):
        _add_text(result, name, role, message.content)
        return
    for i, block in enumerate(message.content):
        _add_block(result, f"{name}.content.{i}", role, block, sees)


def _add_block(result: Translation, name: str, role: str, block: Block, sees: bool) -> None:
    match block:
        case TextBlock():
            _add_text(result, name, role, block.text)
        case ThinkingBlock() if role == "assistant":
            message = result.message_with_room(name, role, "reasoning_content")
            message["reasoning_content"] = message.get("reasoning_content", "") + block.thinking
        case ToolUseBlock() if role == "assistant":
            message = result.message_with_room(name, role, "tool_calls")
            arguments = json.dumps(block.input, ensure_ascii=False)
            result.add_call(message, block.id, block.name, arguments)
        case ImageBlock() if role == "user":
            message = result.message_with_room(name, role, "content")
            result.add_image(message, f"{name}.source", _url(name, block))
        case ToolResultBlock() if role == "user":
            _add_result(result, name, block, sees)
        case ThinkingBlock() | ToolUseBlock() | ToolResultBlock() | ImageBlock():
            raise InvalidRequest(
                f"{name} has the type {block.type!r}, which messages of this role cannot have.",
                param=name,
            )
        case OtherBlock() if block.type == "document":
            raise UnsupportedParameter(
                f"{name} is not supported: it has the type 'document'. Send text or images.",
                param=name,
            )
        case OtherBlock():
            result.skip(name, block.type)


def _add_text(result: Translation, name: str, role: str, text: str) -> None:
    message = result.message_with_room(name, role, "content")
    # What the model has said is sent back as it was; blocks of a user are separate texts.
    result.add_text(message, text, separator="\n" if role == "user" else "")


def _add_result(result: Translation, name: str, block: ToolResultBlock, sees: bool) -> None:
    """Add the result of a call.

    For a model that does not see, words replace an image: a client that has sent one would repeat
    it with every further turn, and could not go on if it were refused.
    """
    message = result.add_message(name, "tool", tool_call_id=block.tool_use_id)
    blocks = block.content
    if block.is_error:
        result.add_text(message, "Error: ", separator="")
    if isinstance(blocks, str):
        result.add_text(message, blocks, separator="")
        return
    separator = ""
    for i, each in enumerate(blocks):
        part = f"{name}.content.{i}"
        if isinstance(each, ImageBlock) and sees:
            result.add_image(message, f"{part}.source", _url(part, each))
        elif isinstance(each, TextBlock):
            result.add_text(message, each.text, separator=separator)
        else:
            result.skip(part, each.type)
            words = f"[{each.type[:40]}: not shown, this model reads text only]"
            result.add_text(message, words, separator=separator)
        separator = "\n"


def _url(name: str, block: ImageBlock) -> str:
    url = block.source.to_url()
    if url is None:
        field = "url" if block.source.type == "url" else "data"
        raise InvalidRequest(
            f"{name}.source.{field} is required with the type {block.source.type!r}.",
            param=f"{name}.source.{field}",
        )
    return url
