"""Every known request field is served, harmless or refused by name, and the docs say which."""

from typing import Any

import openai
import pytest
from anthropic.types.beta.beta_output_config_param import BetaOutputConfigParam
from anthropic.types.beta.message_count_tokens_params import (
    MessageCountTokensParams as BetaMessageCountTokensParams,
)
from anthropic.types.beta.message_create_params import (
    MessageCreateParamsBase as BetaMessageCreateParamsBase,
)
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types import completion_create_params as text_params
from openai.types.chat import ChatCompletionStreamOptionsParam
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_text_config_param import ResponseTextConfigParam
from openai.types.shared_params.reasoning import Reasoning as OpenAIReasoning
from structlog.testing import capture_logs

from llm_service.api.generate import GenerateRequest
from llm_service.api.messages_api.request import (
    CountTokensRequest,
    MessagesRequest,
    OutputConfig,
)
from llm_service.api.ollama.embed import OllamaEmbeddingsRequest, OllamaEmbedRequest
from llm_service.api.ollama.requests import OllamaChatRequest, OllamaGenerateRequest
from llm_service.api.parameter import Parameter, Treatment
from llm_service.api.parameter_table import TABLE
from llm_service.api.responses_api.request import Reasoning, ResponsesRequest, TextOptions
from llm_service.api.schemas import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    EndpointBody,
    StreamOptions,
    TokenizeRequest,
)
from llm_service.api.wire import WireModel
from scripts import parameters
from tests.support.service import RunningService

HELLO = [{"role": "user", "content": "Hi"}]
BODIES: dict[str, type[EndpointBody]] = {
    body.endpoint: body
    for body in (
        ChatCompletionRequest,
        CompletionRequest,
        ResponsesRequest,
        MessagesRequest,
        CountTokensRequest,
        EmbeddingRequest,
        TokenizeRequest,
        DetokenizeRequest,
        GenerateRequest,
        OllamaChatRequest,
        OllamaGenerateRequest,
        OllamaEmbedRequest,
        OllamaEmbeddingsRequest,
    )
}
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "tokenize": "/tokenize",
    "detokenize": "/detokenize",
    "generate": "/generate",
}
LEAST: dict[str, dict[str, Any]] = {
    "chat": {"model": "pocket", "messages": HELLO, "max_tokens": 1},
    "completions": {"model": "pocket", "prompt": "Hi", "max_tokens": 1},
    "responses": {"model": "pocket", "input": "Hi", "max_output_tokens": 1},
    "messages": {"model": "pocket", "messages": HELLO, "max_tokens": 1},
    "count_tokens": {"model": "pocket", "messages": HELLO},
    "tokenize": {"messages": HELLO},
    "detokenize": {"tokens": [5]},
    "generate": {"prompt": "Hi", "max_tokens": 1},
}
GENERATING = ("chat", "completions")
PROTOCOLS = ("responses", "messages", "count_tokens")


def rows(endpoint: str, treatment: Treatment) -> list[Parameter]:
    return [r for r in TABLE if endpoint in r.endpoints and r.treatment is treatment]


def top_level(rows: list[Parameter]) -> set[str]:
    return {row.name for row in rows if "." not in row.name}


def with_field(endpoint: str, name: str, value: Any) -> dict[str, Any]:
    """The least body that the endpoint takes and one more field, where `name` says."""
    body = dict(LEAST[endpoint])
    parent, _, field = name.rpartition(".")
    match parent:
        case "stream_options":
            return {**body, "stream": True, "stream_options": {field: value}}
        case "parameters":
            return {"inputs": "Hi", "parameters": {"max_new_tokens": 1, field: value}}
        case "messages":
            return {**body, "messages": [{**HELLO[0], field: value}]}
        case _:
            return {**body, name: value}


def meaningful(row: Parameter) -> Any:
    """A value with which a refused field asks for something."""
    candidates: list[Any] = [7, "x", True]
    return next(
        value
        for value in candidates
        if not any(value == accepted and type(value) is type(accepted) for accepted in row.accepted)
    )


def test_the_page_of_parameters_is_the_table() -> None:
    page = parameters.FILE.read_text(encoding="utf-8")
    assert page == parameters.page(), "run `python -m scripts.parameters`"


def test_no_field_of_an_endpoint_is_decided_twice() -> None:
    decided = [(endpoint, row.name) for row in TABLE for endpoint in row.endpoints]
    assert len(decided) == len(set(decided))


@pytest.mark.parametrize("endpoint", BODIES)
def test_the_served_fields_are_those_of_the_schema(endpoint: str) -> None:
    served = {row.name.partition(".")[0] for row in rows(endpoint, Treatment.SERVED)}
    assert served == set(BODIES[endpoint].model_fields)


@pytest.mark.parametrize(
    ("endpoint", "name", "model"),
    [
        ("responses", "text", TextOptions),
        ("responses", "reasoning", Reasoning),
        ("messages", "output_config", OutputConfig),
        ("count_tokens", "output_config", OutputConfig),
    ],
)
def test_the_served_fields_of_an_object_are_those_of_its_schema(
    endpoint: str, name: str, model: type[WireModel]
) -> None:
    served = {row.name for row in rows(endpoint, Treatment.SERVED)}
    nested = {field for field in served if field.startswith(f"{name}.")}
    assert nested == {f"{name}.{field}" for field in model.model_fields}


@pytest.mark.parametrize("endpoint", GENERATING)
def test_the_served_stream_options_are_those_of_the_schema(endpoint: str) -> None:
    served = {row.name for row in rows(endpoint, Treatment.SERVED)}
    nested = {name for name in served if name.startswith("stream_options.")}
    assert nested == {f"stream_options.{name}" for name in StreamOptions.model_fields}


@pytest.mark.parametrize(
    ("endpoint", "parent", "params"),
    [
        ("chat", "", chat_params.CompletionCreateParamsBase),
        ("completions", "", text_params.CompletionCreateParamsBase),
        ("chat", "stream_options.", ChatCompletionStreamOptionsParam),
        ("responses", "", ResponseCreateParamsBase),
        ("responses", "text.", ResponseTextConfigParam),
        ("responses", "reasoning.", OpenAIReasoning),
        ("messages", "", MessageCreateParamsBase),
        ("messages", "", BetaMessageCreateParamsBase),
        ("messages", "output_config.", BetaOutputConfigParam),
        ("count_tokens", "", MessageCountTokensParams),
        ("count_tokens", "", BetaMessageCountTokensParams),
    ],
)
def test_every_field_of_the_official_client_is_decided(
    endpoint: str, parent: str, params: Any
) -> None:
    names = {row.name for row in TABLE if endpoint in row.endpoints}
    known = names | {name.partition(".")[0] for name in names}
    assert {parent + name for name in params.__annotations__} <= known


@pytest.mark.parametrize("endpoint", ["chat", "completions", "tokenize", "responses", "generate"])
def test_each_refused_field_is_400_and_named(service: RunningService, endpoint: str) -> None:
    refused = rows(endpoint, Treatment.REFUSED)
    with service.client() as http:
        for row in refused:
            response = http.post(
                PATHS[endpoint], json=with_field(endpoint, row.name, meaningful(row))
            )
            assert response.status_code == 400, row.name
            error = response.json()["error"]
            assert error["code"] == "unsupported_parameter", row.name
            assert error["param"] == row.name.replace("messages.", "messages.0.")
            assert error["message"].startswith(f"{error['param']} is not supported here: ")


@pytest.mark.parametrize("endpoint", ["messages"])
def test_each_refused_field_of_anthropics_protocol_is_400_and_named(
    service: RunningService, endpoint: str
) -> None:
    with service.client() as http:
        for row in rows(endpoint, Treatment.REFUSED):
            body = with_field(endpoint, row.name, meaningful(row))
            response = http.post(PATHS[endpoint], json=body)
            assert response.status_code == 400, row.name
            error = response.json()["error"]
            assert error["type"] == "invalid_request_error"
            assert error["message"].startswith(f"{row.name} is not supported here: ")


@pytest.mark.parametrize(
    "endpoint", ["chat", "completions", "tokenize", "responses", "messages", "generate"]
)
def test_a_refused_field_that_asks_for_nothing_is_accepted(
    service: RunningService, endpoint: str
) -> None:
    """All of them at once, with null, then with the first accepted value of each, and so on."""
    refused = [row for row in rows(endpoint, Treatment.REFUSED) if "." not in row.name]
    values = [{row.name: None for row in refused}]
    for i in range(max(len(row.accepted) for row in refused)):
        values.append({row.name: row.accepted[i] for row in refused if len(row.accepted) > i})
    with service.client() as http:
        for fields in values:
            response = http.post(PATHS[endpoint], json={**LEAST[endpoint], **fields})
            assert response.status_code == 200, response.text


@pytest.mark.parametrize("endpoint", [*GENERATING, *PROTOCOLS])
def test_fields_without_effect_are_accepted_and_not_logged_as_unknown(
    service: RunningService, endpoint: str
) -> None:
    harmless = top_level(rows(endpoint, Treatment.NO_EFFECT))
    body = {**LEAST[endpoint], **dict.fromkeys(harmless, "x")}
    with capture_logs() as lines, service.client() as http:
        assert http.post(PATHS[endpoint], json=body).status_code == 200
    assert not [line for line in lines if "fields" in line]


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("completions", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("completions", {"continue_final_message": True}),
        ("completions", {"add_generation_prompt": False}),
        ("chat", {"chat_template": "{{ messages }}"}),
        ("completions", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("completions", {"reasoning_effort": "high"}),
        ("chat", {"thinking_budget": 5}),
        ("chat", {"bad_words": ["no"]}),
        ("completions", {"allowed_token_ids": [1, 2]}),
        ("completions", {"prompt_logprobs": 0}),
        ("chat", {"truncate_prompt_tokens": 5}),
        ("chat", {"use_beam_search": True}),
        ("chat", {"best_of": 2}),
        ("chat", {"echo": True}),
        ("chat", {"stop_sequences": ["5"]}),
        ("completions", {"max_new_tokens": 3}),
        ("completions", {"n_predict": 3}),
        ("chat", {"include_stop_str_in_output": True}),
        ("chat", {"web_search_options": {}}),
        ("completions", {"skip_special_tokens": False}),
        ("chat", {"suffix": "x"}),
        ("completions", {"suffix": "x"}),
        ("chat", {"stream_options": {"continuous_usage_stats": True}, "stream": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_field_that_would_change_the_answer_is_not_ignored(
    service: RunningService, endpoint: str, fields: dict[str, Any]
) -> None:
    with service.client() as http:
        response = http.post(PATHS[endpoint], json={**LEAST[endpoint], **fields})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unsupported_parameter"
    assert response.json()["error"]["param"].split(".")[0] == next(iter(fields))


def test_best_of_may_repeat_n(service: RunningService) -> None:
    with service.client() as http:
        body = {**LEAST["completions"], "n": 2, "best_of": 2}
        assert len(http.post(PATHS["completions"], json=body).json()["choices"]) == 2
        assert http.post(PATHS["completions"], json={**body, "best_of": 1}).status_code == 400


def test_what_clients_habitually_send_is_accepted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="pocket",
        messages=[{"role": "user", "content": "Hi"}],
        max_completion_tokens=2,
        user="someone",
        store=True,
        metadata={"trace": "1"},
        parallel_tool_calls=False,
        prompt_cache_key="k",
        safety_identifier="s",
        service_tier="auto",
        verbosity="medium",
        tools=[],
        tool_choice="auto",
        response_format={"type": "text"},
        modalities=["text"],
        logprobs=False,
        stop=None,
        n=1,
        presence_penalty=0,
        logit_bias={},
        reasoning_effort=None,
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_the_official_client_tells_which_field_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="pocket",
            messages=[{"role": "user", "content": "Hi"}],
            extra_body={"chat_template": "{{ messages }}"},
        )
    assert refused.value.param == "chat_template"
    assert refused.value.code == "unsupported_parameter"
