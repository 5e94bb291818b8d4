"""POST /v1/responses at a real socket, by the official client and as it is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel
from structlog.testing import capture_logs

from llm_service.api import sse
from llm_service.api.responses_api.schema import ResponseOut
from llm_service.engine.answer import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llm_service.errors import CancelledByOperator, EngineFailed
from tests.support.events import check_openai, events, scripted
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

PATH = "/v1/responses"
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    "strict": None,
}
CALL: list[list[Delta]] = [
    [ReasoningDelta("They want ", 2), ReasoningDelta("the weather.", 2)],
    [TextDelta("I look.")],
    [ToolCallDelta(0, "", "call_a", "get_weather")],
    [ToolCallDelta(0, '{"location":'), ToolCallDelta(0, '"Rome"}')],
    [ToolCallDelta(1, "{}", "call_b", "get_weather")],
]
TEXT_EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def fake(engine: FakeEngine, tmp_path: Path) -> Iterator[RunningService]:
    with RunningService(tmp_path, engine=engine) as service:
        yield service


def post(service: RunningService, status: int = 200, /, **fields: Any) -> dict[str, Any]:
    with service.client() as http:
        answer = http.post(PATH, json={"model": "pocket", "input": "Hi", **fields})
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    if status == 200:
        Response.model_validate(body)
        ResponseOut.model_validate(body)
    return body


def stream(service: RunningService, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    body = {"model": "pocket", "input": "Hi", "stream": True, **fields}
    with service.client() as http:
        answer = http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert "[DONE]" not in answer.text
    found = events(answer.text)
    check_openai(found)
    return found


def kinds(found: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The names of events, with deltas of one kind in succession as one."""
    names = [name for name, _ in found]
    return [
        name
        for i, name in enumerate(names)
        if i == 0 or "delta" not in name or names[i - 1] != name
    ]


def call(engine: FakeEngine, service: RunningService, **fields: Any) -> dict[str, Any]:
    engine.says = ["x"] * len(CALL)
    with scripted(*CALL):
        return post(service, tools=[TOOL], **fields)


def call_stream(
    engine: FakeEngine, service: RunningService, **fields: Any
) -> list[tuple[str, dict[str, Any]]]:
    engine.says = ["x"] * len(CALL)
    with scripted(*CALL):
        return stream(service, tools=[TOOL], **fields)


# The cases of Open Responses


def test_a_basic_response_is_complete_and_has_every_field(service: RunningService) -> None:
    body = post(
        service, input=[{"type": "message", "role": "user", "content": "What is 7 plus 5?"}]
    )
    assert body["status"] == "completed"
    assert body["output"][0]["content"][0]["text"].startswith("7 + 5")
    assert body.keys() >= Response.model_fields.keys() - {
        *("access_programs", "conversation", "image", "input_transformations", "moderation"),
        *("prompt", "prompt_cache_diagnostics", "prompt_cache_options", "prompt_cache_retention"),
        "tool_usage",
    }
    assert body["usage"]["total_tokens"] == (
        body["usage"]["input_tokens"] + body["usage"]["output_tokens"]
    )
    assert body["store"] is False


def test_a_streamed_response_has_the_whole_sequence_of_events(service: RunningService) -> None:
    found = stream(service, input="What is 7 plus 5?", temperature=0)
    assert kinds(found) == TEXT_EVENTS
    text = "".join(data["delta"] for name, data in found if name.endswith("text.delta"))
    final = found[-1][1]["response"]
    whole = post(service, input="What is 7 plus 5?", temperature=0)
    assert final["output"][0]["content"][0]["text"] == text
    assert final["output"][0]["content"] == whole["output"][0]["content"]
    assert final["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    ids = {data["item_id"] for _, data in found if "item_id" in data}
    assert ids == {final["output"][0]["id"]}


def test_a_system_message_may_come_as_instructions_or_in_the_input(engine, fake) -> None:
    def prompt(**fields: Any) -> int:
        tokens: int = post(fake, max_output_tokens=1, **fields)["usage"]["input_tokens"]
        return tokens

    user = {"role": "user", "content": "Hi"}
    as_instructions = prompt(instructions="Be brief.")
    assert as_instructions > prompt()
    for role in ("system", "developer"):
        assert prompt(input=[{"role": role, "content": "Be brief."}, user]) == as_instructions


def test_calls_are_items_of_the_output(engine, fake) -> None:
    body = call(engine, fake)
    reasoning, message, first, second = body["output"]
    assert reasoning["type"] == "reasoning"
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "They want the weather."}]
    assert reasoning["summary"] == []
    assert message["content"][0]["text"] == "I look."
    assert (first["type"], first["call_id"], first["name"]) == (
        "function_call",
        "call_a",
        "get_weather",
    )
    assert json.loads(first["arguments"]) == {"location": "Rome"}
    assert (second["call_id"], second["arguments"]) == ("call_b", "{}")
    assert body["status"] == "completed"
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 4
    assert body["tools"] == [{**TOOL, "strict": False}]


def test_a_stream_tells_of_each_call_from_its_name_to_its_arguments(engine, fake) -> None:
    found = call_stream(engine, fake)
    item = ["response.output_item.added", "response.output_item.done"]
    part = ["response.content_part.added", "response.content_part.done"]
    assert kinds(found) == [
        *TEXT_EVENTS[:2],
        *(item[0], part[0], "response.reasoning_text.delta", "response.reasoning_text.done"),
        *(part[1], item[1]),
        *TEXT_EVENTS[2:-1],
        item[0],
        *(f"response.function_call_arguments.{end}" for end in ("delta", "done")),
        item[1],
        item[0],
        *(f"response.function_call_arguments.{end}" for end in ("delta", "done")),
        item[1],
        "response.completed",
    ]
    added = [data["item"] for name, data in found if name == item[0]]
    assert [each.get("name") for each in added] == [None, None, "get_weather", "get_weather"]
    assert [each.get("arguments") for each in added] == [None, None, "", ""]
    done = [data["item"] for name, data in found if name == item[1]]
    assert done == found[-1][1]["response"]["output"]
    assert [each["type"] for each in done] == [
        *("reasoning", "message", "function_call", "function_call")
    ]
    # The stream and the whole answer have the same items, but for their ids.
    engine.says = ()
    whole = call(engine, fake)["output"]
    assert [{**each, "id": ""} for each in done] == [{**each, "id": ""} for each in whole]


def test_a_conversation_goes_on_with_the_items_of_the_answer(engine, fake) -> None:
    output = call(engine, fake)["output"]
    results = [
        {"type": "function_call_output", "call_id": "call_a", "output": "Sunny."},
        {
            "type": "function_call_output",
            "call_id": "call_b",
            "output": [{"type": "input_text", "text": "Rain."}],
        },
    ]
    engine.says = ["Sunny", " in Rome."]
    body = post(fake, input=[{"role": "user", "content": "Weather?"}, *output, *results])
    assert body["output"][0]["content"][0]["text"] == "Sunny in Rome."


# The official client


def test_the_official_client_gets_text_streams_and_usage(client: openai.OpenAI) -> None:
    question: Any = {"model": "pocket", "input": "What is 7 plus 5?", "temperature": 0}
    whole = client.responses.create(**question)
    assert whole.output_text.startswith("7 + 5 = 12")
    with client.responses.stream(**question) as found:
        text = "".join(event.delta for event in found if event.type == "response.output_text.delta")
        final = found.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_official_client_reads_calls_from_a_stream(engine, fake) -> None:
    engine.says = ["x"] * len(CALL)
    with (
        openai.OpenAI(base_url=f"{fake.url}/v1", api_key=ADMIN_KEY) as client,
        scripted(*CALL),
        client.responses.stream(model="pocket", input="Hi", tools=[TOOL]) as found,
    ):
        final = found.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, call.arguments) for call in calls] == [
        ("call_a", '{"location":"Rome"}'),
        ("call_b", "{}"),
    ]


class Verdict(BaseModel):
    verdict: Literal["yes", "no"]


def test_the_official_client_parses_an_answer_by_its_schema(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model="pocket", input="Is 7 odd?", text_format=Verdict)
    assert isinstance(parsed.output_parsed, Verdict)
    assert parsed.text is not None
    assert parsed.text.format is not None
    assert parsed.text.format.type == "json_schema"


def test_a_required_call_streams_from_a_real_model(client: openai.OpenAI) -> None:
    schema = Verdict.model_json_schema() | {"additionalProperties": False}
    tool: Any = {"type": "function", "name": "judge", "parameters": schema}
    with client.responses.stream(
        model="pocket", input="Is 7 odd?", tools=[tool], tool_choice="required"
    ) as found:
        final = found.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert calls
    assert calls[0].name == "judge"
    Verdict.model_validate_json(calls[0].arguments)


# How an answer ends


def test_an_answer_that_is_cut_is_incomplete(service: RunningService) -> None:
    body = post(service, input="What is 7 plus 5?", max_output_tokens=2)
    assert body["status"] == body["output"][0]["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    found = stream(service, input="What is 7 plus 5?", max_output_tokens=2)
    assert found[-1][0] == "response.incomplete"
    assert found[-1][1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize("empty", ["", []])
def test_a_probe_with_an_empty_input_is_answered(service: RunningService, empty: Any) -> None:
    assert post(service, input=empty, max_output_tokens=1)["usage"]["output_tokens"] == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineFailed("It broke."), "server_error"),
        # Clients try other codes again, which would undo the cancellation.
        (CancelledByOperator("An operator cancelled it."), "invalid_prompt"),
    ],
    ids=["failure", "cancellation"],
)
def test_a_stream_that_fails_ends_with_response_failed(engine, fake, error, code) -> None:
    engine.hold(after=2)
    with fake.client() as http:
        body = {"model": "pocket", "input": "Hi", "stream": True}
        with http.stream("POST", PATH, json=body) as answer:
            chunks = answer.iter_text()
            text = next(chunks)
            engine.fail_all(error)
            found = events(text + "".join(chunks))
    check_openai(found)
    name, data = found[-1]
    assert name == "response.failed"
    assert data["response"]["status"] == "failed"
    assert data["response"]["error"] == {"code": code, "message": error.message}


def test_while_nothing_comes_a_real_event_shows_that_the_answer_is_on_its_way(
    engine, fake, monkeypatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.05)
    engine.hold(after=1)
    with fake.client() as http:
        body = {"model": "pocket", "input": "Hi", "stream": True, "max_output_tokens": 3}
        with http.stream("POST", PATH, json=body) as answer:
            text = ""
            for chunk in answer.iter_text():
                text += chunk
                if text.count("event: response.in_progress") == 3:
                    engine.release()
    found = events(text)
    check_openai(found)
    assert found[-1][0] == "response.incomplete"


# What is skipped and what is refused


def test_items_and_tools_of_unknown_types_are_skipped_and_named(service: RunningService) -> None:
    items = [
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": "What is 7 plus 5?"},
        {"type": "web_search_call", "id": "ws_1", "action": {"query": "x"}, "status": "completed"},
    ]
    tools = [{"type": "web_search"}, {"type": "custom", "name": "apply_patch", "format": {}}]
    body = {"model": "pocket", "input": items, "tools": tools, "tool_choice": "auto"}
    with capture_logs() as lines, service.client() as http:
        answer = http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["tools"] == []
    skipped = ["tools.0 (web_search)", "tools.1 (custom)"]
    skipped += ["input.0 (item_reference)", "input.2 (web_search_call)"]
    assert answer.headers["x-skipped"] == ", ".join(skipped)
    (line,) = [line for line in lines if "parts" in line]
    assert line["parts"] == skipped


def test_a_type_that_is_no_header_is_named_as_far_as_it_can_be(service: RunningService) -> None:
    body = {"model": "pocket", "input": [{"type": "a\r\nb: ü" + "x" * 100}], "max_output_tokens": 1}
    with service.client() as http:
        answer = http.post(PATH, json=body)
    assert answer.status_code == 200
    assert answer.headers["x-skipped"] == "input.0 (a__b___" + "x" * 33 + ")"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tool_choice": {"type": "custom", "name": "x"}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "other"}, "tools": [TOOL]}, "tool_choice"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [{"type": "web_search"}, {**TOOL, "name": ""}]}, "tools.1.name"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        (
            {"text": {"format": {"type": "json_schema", "schema": {"type": "nonsense"}}}},
            "text.format",
        ),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 5000}, "max_output_tokens"),
        ({"input": "word " * 4000}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input.0.call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input.0.output"),
        ({"temperature": 3}, "temperature"),
        ({"reasoning": {"effort": "<|im_end|>"}}, "reasoning.effort"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_error_names_the_field_that_was_sent(
    service: RunningService, fields: dict[str, Any], param: str
) -> None:
    error = post(service, 400, **fields)["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert "messages" not in error["message"]


@pytest.mark.parametrize("bad", ["\ud800", float("nan")])
def test_json_that_could_not_be_sent_back_is_refused(service: RunningService, bad: Any) -> None:
    tool = {**TOOL, "parameters": {"description": bad}}
    body = json.dumps({"model": "pocket", "input": "Hi", "tools": [tool]})
    with service.client() as http:
        answer = http.post(PATH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tools.0.parameters"


def test_what_codex_sends_is_accepted(service: RunningService) -> None:
    with capture_logs() as lines:
        post(
            service,
            instructions="You are a coding agent.",
            input=[
                {
                    "type": "message",
                    "role": "developer",
                    "content": [{"type": "input_text", "text": "Sandbox: read-only."}],
                },
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "<environment_context/>"}],
                },
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Hi"}],
                },
                {"type": "additional_tools", "role": "developer", "tools": [TOOL]},
            ],
            tools=[{"type": "namespace", "name": "x", "description": "", "tools": []}],
            tool_choice="auto",
            parallel_tool_calls=True,
            reasoning={"effort": "medium", "summary": "auto"},
            store=False,
            include=["reasoning.encrypted_content"],
            prompt_cache_key="k",
            client_metadata={"a": "b"},
            text={"verbosity": "low"},
            max_output_tokens=4,
        )
    assert not [line for line in lines if "fields" in line]


def test_requests_are_counted_as_responses(service: RunningService) -> None:
    def count(text: str) -> float:
        line = next(
            line
            for line in text.splitlines()
            if line.startswith('llm_requests_total{model="pocket",operation="response"')
            and 'outcome="length"' in line
        )
        return float(line.split()[-1])

    with service.client() as http:
        before = count(http.get("/metrics").text)
        post(service, max_output_tokens=1)
        assert count(http.get("/metrics").text) == before + 1
