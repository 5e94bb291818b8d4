"""Bodies of the Responses and Messages APIs as chat requests."""

from typing import Any

import pytest

from llm_service.api.choice import Parts
from llm_service.api.messages_api.request import MessagesRequest
from llm_service.api.messages_api.translate import translate as translate_message
from llm_service.api.responses_api.output import Output
from llm_service.api.responses_api.request import ResponsesRequest
from llm_service.api.responses_api.translate import translate as translate_response
from llm_service.api.schemas import ChatCompletionRequest
from llm_service.engine import FinishReason
from llm_service.engine.answer import Delta, FinishDelta, ReasoningDelta, TextDelta, ToolCallDelta
from llm_service.errors import InvalidRequest, ServiceError
from tests.support.events import check_openai

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def response(**fields: Any) -> ChatCompletionRequest:
    body = {"model": "pocket", "input": "Hi", **fields}
    return translate_response(ResponsesRequest.model_validate(body))[1]


def message(**fields: Any) -> ChatCompletionRequest:
    body = {"model": "pocket", "messages": [user("Hi")], "max_tokens": 9, **fields}
    return translate_message(MessagesRequest.model_validate(body))[1]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def messages(chat: ChatCompletionRequest) -> list[dict[str, Any]]:
    return [each.model_dump(exclude_unset=True) for each in chat.messages]


# Responses


def test_items_of_one_turn_are_one_assistant_message() -> None:
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {
            "type": "function_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "2"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "So"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    assert messages(response(input=items)) == [
        user("Hi"),
        {
            "role": "assistant",
            "reasoning_content": "Hm",
            "content": "I",
            "tool_calls": [call("a"), call("b")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "assistant", "reasoning_content": "So", "tool_calls": [call("c")]},
    ]


def test_what_follows_a_call_begins_a_new_assistant_message() -> None:
    items = [
        user("Hi"),
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "Really."},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm"}], "summary": []},
    ]
    assert messages(response(input=items))[1:] == [
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "assistant", "content": "done"},
        {"role": "assistant", "content": "Really."},
        {"role": "assistant", "reasoning_content": "Hm", "content": ""},
    ]


def test_system_messages_at_the_start_are_one_and_later_ones_stay_where_they_are() -> None:
    items = [
        {"role": "developer", "content": "B"},
        {"role": "system", "content": "C"},
        user("Hi"),
        {"role": "developer", "content": "D"},
    ]
    assert messages(response(instructions="A", input=items)) == [
        {"role": "system", "content": "A\n\nB\n\nC"},
        user("Hi"),
        {"role": "system", "content": "D"},
    ]


def test_a_custom_call_is_a_call_with_one_argument() -> None:
    items = [
        user("Hi"),
        {"type": "custom_tool_call", "call_id": "a", "name": "f", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "ok"},
    ]
    assert messages(response(input=items))[1:] == [
        {"role": "assistant", "tool_calls": [call("a", '{"input": "x"}')]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]


def test_settings_of_a_response_are_those_of_the_chat() -> None:
    tool = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
    more = {"type": "additional_tools", "tools": [{"type": "function", "name": "g"}]}
    format_ = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    chat = response(
        input=[user("Hi"), more],
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.25,
        tools=[tool],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        reasoning={"effort": "none"},
        text={"format": format_},
        stream=True,
    )
    assert (chat.requested_tokens, chat.temperature, chat.top_p) == (7, 0.5, 0.25)
    assert [function.name for function in chat.offered] == ["f", "g"]
    assert chat.offered[0].parameters == SCHEMA
    assert (chat.tool_mode, chat.named_tool) == ("required", "f")
    assert chat.parallel_tool_calls is False
    assert chat.reasoning_effort == "none"
    assert chat.response_format is not None
    assert chat.response_format.json_schema is not None
    assert chat.response_format.json_schema.schema_ == SCHEMA
    assert chat.stream is True


def test_a_choice_among_no_tools_is_left_out_unless_it_demands_a_call() -> None:
    for choice, mode in (("none", None), ("auto", None), ("required", "required")):
        chat = response(tools=[{"type": "web_search"}], tool_choice=choice)
        assert (chat.tools, chat.tool_choice) == (None, mode)
    for kind, mode in (("none", None), ("auto", None), ("any", "required")):
        chat = message(tool_choice={"type": kind})
        assert (chat.tools, chat.tool_choice) == (None, mode)


def test_a_summary_repeats_the_reasoning_if_it_is_asked_for() -> None:
    output = Output("r", has_summary=True)
    deltas: list[Delta] = [ReasoningDelta("Hm", 1), ReasoningDelta(".", 1)]
    deltas.append(FinishDelta(FinishReason.STOP))
    found = [event for delta in deltas for event in output.add(delta)]
    check_openai(
        [
            (name, {"type": name, "sequence_number": i, **data})
            for i, (name, data) in enumerate(found)
        ]
    )
    kinds = [name.removeprefix("response.") for name, _ in found]
    assert [kind for kind in kinds if kind.startswith("reasoning_summary")] == [
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 2,
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    assert kinds.count("reasoning_text.delta") == 2
    (item,) = output.items
    assert item["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_only_the_item_that_was_cut_is_incomplete() -> None:
    output = Output("r", has_summary=False)
    deltas: list[Delta] = [TextDelta("I"), ToolCallDelta(0, '{"a', "c", "f")]
    deltas.append(FinishDelta(FinishReason.LENGTH))
    for delta in deltas:
        list(output.add(delta))
    assert [item["status"] for item in output.items] == ["completed", "incomplete"]


# Messages


def test_blocks_of_a_turn_are_one_message_and_results_are_messages_of_their_own() -> None:
    chat = message(
        messages=[
            user("A"),
            user([{"type": "text", "text": "B"}]),
            assistant(
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "text", "text": "I"},
                {"type": "text", "text": " do."},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": "é"}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ),
            user(
                [
                    {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "b",
                        "content": [{"type": "text", "text": "no"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "Go on."},
                ]
            ),
            {"role": "system", "content": "Be brief."},
        ]
    )
    assert messages(chat) == [
        user("A\nB"),
        {
            "role": "assistant",
            "reasoning_content": "Hm",
            "content": "I do.",
            "tool_calls": [call("a", '{"x": "é"}'), call("b")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no"},
        user("Go on.\nBe brief."),
    ]


def test_an_image_in_a_result_is_replaced_by_words() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [image]}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    chat = message(messages=[user("A"), assistant(use), user([result])])
    assert messages(chat)[-1]["content"] == "[image: not shown, this model reads text only]"


def test_settings_of_a_message_are_those_of_the_chat() -> None:
    tool = {"type": "custom", "name": "f", "input_schema": SCHEMA}
    chat = message(
        system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
        stop_sequences=["x"],
        temperature=0.5,
        top_p=0.25,
        top_k=3,
        tools=[tool, {"type": "bash_20250124", "name": "bash"}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 5},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert messages(chat)[0] == {"role": "system", "content": "A\nB"}
    assert (chat.requested_tokens, chat.most_tokens) == (None, 9)
    assert (chat.stop, chat.temperature, chat.top_p, chat.top_k) == (["x"], 0.5, 0.25, 3)
    assert [function.name for function in chat.offered] == ["f"]
    assert (chat.tool_mode, chat.parallel_tool_calls) == ("required", False)
    assert (chat.enable_thinking, chat.max_reasoning_tokens) == (True, 5)
    assert chat.reasoning_effort == "low"
    assert chat.response_format is not None
    assert chat.response_format.json_schema is not None
    assert chat.response_format.json_schema.schema_ == SCHEMA


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", None)),
        ({"type": "auto"}, ("auto", None)),
        ({"type": "none"}, ("none", None)),
        ({"type": "any"}, ("required", None)),
        ({"type": "tool", "name": "f"}, ("required", "f")),
    ],
)
def test_choices_of_a_tool_have_the_modes_of_the_chat(choice: Any, expected: Any) -> None:
    chat = message(tools=[{"name": "f", "input_schema": SCHEMA}], tool_choice=choice)
    assert (chat.tool_mode, chat.named_tool) == expected


@pytest.mark.parametrize(
    ("thinking", "is_on"),
    [(None, False), ({"type": "disabled"}, False), ({"type": "adaptive"}, True)],
)
def test_thinking_is_off_unless_it_is_asked_for(thinking: Any, is_on: bool) -> None:
    assert message(thinking=thinking).enable_thinking is is_on


def test_an_assistant_message_at_the_end_is_continued_but_not_its_calls() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    text = {"type": "text", "text": "I"}
    assert message(messages=[user("A"), assistant(text)]).continue_final_message
    assert not message(messages=[user("A"), assistant(text, use)]).continue_final_message
    assert not message().continue_final_message


# Names


def test_an_error_gets_the_name_of_the_part_that_it_is_about() -> None:
    items = [
        {"role": "developer", "content": "B"},
        {"type": "item_reference"},
        user("Hi"),
        {"type": "function_call", "call_id": "a", "name": "f"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]
    body = ResponsesRequest.model_validate({"model": "pocket", "input": items})
    with_text = ResponsesRequest(model="pocket", instructions="A", input="Hi")
    with_system = MessagesRequest.model_validate(
        {"model": "pocket", "system": "A", "messages": [user("Hi")], "max_tokens": 9}
    )
    for translation, names in (
        (
            translate_response(body)[0],
            {
                "messages.0.content": "input.0.content",
                "messages.1.content": "input.2.content",
                "messages.1": "input.2",
                "messages.2.tool_calls": "input.3.tool_calls",
                "messages.3.content": "input.4.output",
                "messages": "input",
                "top_k": "top_k",
            },
        ),
        (
            translate_response(with_text)[0],
            {"messages.0.content": "instructions", "messages.1.content": "input"},
        ),
        (
            translate_message(with_system)[0],
            {"messages.0.content": "system", "messages.1.content": "messages.0.content"},
        ),
    ):
        for param, name in names.items():
            with pytest.raises(ServiceError) as raised, translation.own_names():
                raise InvalidRequest(f"{param} is wrong.", param=param)
            assert (raised.value.param, raised.value.message) == (name, f"{name} is wrong.")


def test_parts_can_be_told_again_as_deltas() -> None:
    deltas: list[Delta] = [
        ReasoningDelta("Hm", 3),
        TextDelta("I"),
        ToolCallDelta(0, "{}", "a", "f"),
        ToolCallDelta(1, "[]", "b", "g"),
        FinishDelta(FinishReason.TOOL_CALLS, None),
    ]
    assert Parts.of(deltas).deltas() == deltas
