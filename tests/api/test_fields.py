"""What each request field takes, and in which words it refuses the rest."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from llm_service.api.chat_messages import ContentPart, Message
from llm_service.api.schemas import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    StreamOptions,
    TokenizeRequest,
)
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = [{"role": "user", "content": "Hi"}]
LEAST: dict[str, dict[str, Any]] = {
    CHAT: {"model": "pocket", "messages": HELLO, "max_tokens": 1},
    TEXT: {"model": "pocket", "prompt": "Hi", "max_tokens": 1},
    "/tokenize": {"prompt": "Hi"},
    "/detokenize": {"tokens": [5]},
}
HUGE = 10**19


def say(service: RunningService, path: str, fields: dict[str, Any]) -> Any:
    with service.client() as http:
        response = http.post(path, json={**LEAST[path], **fields})
    assert response.status_code == 200, response.text
    return response.json()


def refusal(service: RunningService, path: str, body: dict[str, Any] | bytes) -> dict[str, str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with service.client() as http:
        response = http.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    error: dict[str, str] = response.json()["error"]
    return error


COMMON = [
    ({"model": None}, "model", "model is required."),
    ({"model": 5}, "model", "model must be a string."),
    ({"stream": "yes"}, "stream", "stream must be true or false."),
    ({"stream": 1}, "stream", "stream must be true or false."),
    ({"stream_options": []}, "stream_options", "stream_options must be an object."),
    (
        {"stream_options": {"include_usage": "no"}},
        "stream_options.include_usage",
        "stream_options.include_usage must be true or false.",
    ),
    ({"max_tokens": 0}, "max_tokens", "max_tokens must be greater than or equal to 1."),
    ({"max_tokens": -1}, "max_tokens", "max_tokens must be greater than or equal to 1."),
    ({"max_tokens": 16.5}, "max_tokens", "max_tokens must be an integer."),
    ({"max_tokens": "16"}, "max_tokens", "max_tokens must be an integer."),
    ({"max_tokens": True}, "max_tokens", "max_tokens must be an integer."),
    ({"max_tokens": 1e300}, "max_tokens", "less than or equal to"),
    ({"max_tokens": HUGE}, "max_tokens", "less than or equal to"),
    ({"min_tokens": -1}, "min_tokens", "greater than or equal to 0"),
    ({"min_tokens": 9, "max_tokens": 8}, "min_tokens", "more than the 8"),
    ({"min_tokens": HUGE}, "min_tokens", "less than or equal to"),
    ({"temperature": "hot"}, "temperature", "temperature must be a number."),
    ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
    ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
    ({"top_p": 1.1}, "top_p", "less than or equal to 1"),
    ({"top_k": -2}, "top_k", "greater than or equal to -1"),
    ({"top_k": 1.5}, "top_k", "top_k must be an integer."),
    ({"min_p": 2}, "min_p", "less than or equal to 1"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"n": 129}, "n", "less than or equal to 128"),
    ({"seed": 2**63}, "seed", "less than or equal to"),
    ({"seed": "lucky"}, "seed", "seed must be an integer."),
    ({"stop": ["x"] * 17}, "stop", "stop must have at most 16 items, not 17."),
    ({"stop": 5}, "stop", "stop must be a string or a list of strings."),
    ({"stop": ["x", 5]}, "stop.1", "stop.1 must be a string."),
    ({"stop": [None]}, "stop.0", "stop.0 must be a string."),
    ({"stop": "x" * 257}, "stop", "stop must have at most 256 characters."),
    ({"stop_token_ids": [-1]}, "stop_token_ids.0", "greater than or equal to 0"),
    ({"stop_token_ids": 5}, "stop_token_ids", "stop_token_ids must be a list."),
    ({"ignore_eos": "no"}, "ignore_eos", "ignore_eos must be true or false."),
    ({"presence_penalty": 3}, "presence_penalty", "less than or equal to 2"),
    ({"frequency_penalty": -3}, "frequency_penalty", "greater than or equal to -2"),
    ({"repetition_penalty": 0}, "repetition_penalty", "greater than 0"),
    ({"logit_bias": []}, "logit_bias", "logit_bias must be an object."),
    ({"logit_bias": {"5": "x"}}, "logit_bias.5", "logit_bias.5 must be a number."),
    ({"logit_bias": {"5": None}}, "logit_bias.5", "logit_bias.5 must be a number."),
    ({"logit_bias": {"5": 101}}, "logit_bias.5", "less than or equal to 100"),
    ({"logit_bias": {"word": 1}}, "logit_bias", "token ids below"),
    ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias", "at most 1024 items"),
]
OF_CHAT = [
    ({"messages": None}, "messages", "messages is required."),
    ({"messages": "Hi"}, "messages", "messages must be a list."),
    ({"messages": []}, "messages", "messages must have at least 1 item"),
    ({"messages": ["Hi"]}, "messages.0", "messages.0 must be an object."),
    ({"messages": [None]}, "messages.0", "messages.0 must be an object."),
    ({"messages": [{"content": "Hi"}]}, "messages.0.role", "messages.0.role is required."),
    ({"messages": [{"role": "king", "content": "Hi"}]}, "messages.0.role", "'user'"),
    (
        {"messages": [{"role": "user", "content": 7}]},
        "messages.0.content",
        "messages.0.content must be a string or a list of content parts.",
    ),
    (
        {"messages": [{"role": "user", "content": ["Hi"]}]},
        "messages.0.content.0",
        "messages.0.content.0 must be an object.",
    ),
    (
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
        "messages.0.content.0.type",
        "messages.0.content.0.type is required.",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        "messages.0.content.0.text",
        "messages.0.content.0.text must be a string.",
    ),
    ({"messages": [{**HELLO[0], "name": 5}]}, "messages.0.name", "must be a string"),
    ({"messages": [{**HELLO[0], "name": "x" * 65}]}, "messages.0.name", "at most 64 characters"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "greater than or equal to 1"),
    ({"max_completion_tokens": 5000}, "max_completion_tokens", "maximum context length"),
    ({"max_tokens": 5000}, "max_tokens", "maximum context length"),
    ({"logprobs": 3}, "logprobs", "logprobs must be true or false."),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
    ({"top_logprobs": 3}, "top_logprobs", "top_logprobs needs logprobs: true."),
]
OF_TEXT = [
    ({"prompt": None}, "prompt", "prompt is required."),
    ({"prompt": 5}, "prompt", "prompt must be a string, a list of strings, token ids or lists"),
    ({"prompt": {}}, "prompt", "prompt must be a string, a list of strings, token ids or lists"),
    ({"prompt": [{}, {}]}, "prompt", "prompt must be a string, a list of strings, token ids"),
    ({"prompt": []}, "prompt", "prompt is empty: send a text or token ids."),
    ({"prompt": ""}, "prompt", "The prompt is empty"),
    ({"prompt": [[]]}, "prompt", "The prompt is empty"),
    ({"prompt": ["Hi", 5]}, "prompt.1", "prompt.1 must be a string."),
    ({"prompt": [5, "Hi"]}, "prompt.1", "prompt.1 must be an integer."),
    ({"prompt": [5, -1]}, "prompt.1", "greater than or equal to 0"),
    ({"prompt": [[5], [6, "x"]]}, "prompt.1.1", "prompt.1.1 must be an integer."),
    ({"prompt": [10**6]}, "prompt", "Token ids must be below"),
    ({"prompt": "word " * 3000}, "prompt", "maximum context length"),
    ({"max_tokens": 5000}, "max_tokens", "maximum context length"),
    ({"prompt": ["Hi"] * 129}, "prompt", "129 prompts with n = 1 ask for 129"),
    ({"prompt": ["Hi"] * 65, "n": 2}, "prompt", "65 prompts with n = 2 ask for 130"),
    ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
    ({"logprobs": True}, "logprobs", "logprobs must be an integer."),
    ({"best_of": "all"}, "best_of", "best_of must be an integer."),
]
ELSEWHERE = [
    ("/tokenize", {"prompt": 5}, "prompt", "prompt must be a string."),
    ("/tokenize", {"messages": HELLO}, "prompt", "Send either prompt or messages."),
    ("/tokenize", {"prompt": None}, "prompt", "Send either prompt or messages."),
    ("/detokenize", {"tokens": None}, "tokens", "tokens is required."),
    ("/detokenize", {"tokens": [5, "x"]}, "tokens.1", "tokens.1 must be an integer."),
    ("/detokenize", {"tokens": [10**6]}, "tokens", "Token ids must be below"),
]
WRONG = [
    *((path, *case) for path in (CHAT, TEXT) for case in COMMON),
    *((CHAT, *case) for case in OF_CHAT),
    *((TEXT, *case) for case in OF_TEXT),
    *ELSEWHERE,
]


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    WRONG,
    ids=[f"{path}-{str(fields)[:50]}" for path, fields, _, _ in WRONG],
)
def test_a_wrong_value_is_refused_by_the_name_that_was_sent_and_in_words(
    service: RunningService, path: str, fields: dict[str, Any], param: str, words: str
) -> None:
    error = refusal(service, path, {**LEAST[path], **fields})
    assert error["param"] == param
    assert words in error["message"]
    assert "instance of" not in error["message"]
    assert "dictionary" not in error["message"]
    assert len(error["message"]) < 400


def optional_fields(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize(
    ("path", "model"),
    [(CHAT, ChatCompletionRequest), (TEXT, CompletionRequest)],
)
def test_null_in_every_optional_field_is_a_field_that_was_not_sent(
    service: RunningService, path: str, model: type[BaseModel]
) -> None:
    names = set(optional_fields(model)) - {"max_tokens"}
    nothing = {**dict.fromkeys(names), "temperature": 0}
    assert said(say(service, path, nothing)) == said(say(service, path, {"temperature": 0}))


def test_null_in_every_nested_field_is_a_field_that_was_not_sent(service: RunningService) -> None:
    part = {**dict.fromkeys(optional_fields(ContentPart)), "type": "text", "text": "Hi"}
    message = {**dict.fromkeys(optional_fields(Message)), "role": "user", "content": [part]}
    options = dict.fromkeys(optional_fields(StreamOptions))
    fields = {"messages": [message], "stream_options": options, "temperature": 0}
    assert said(say(service, CHAT, fields)) == said(say(service, CHAT, {"temperature": 0}))
    fields = {"messages": [message], **dict.fromkeys(optional_fields(TokenizeRequest))}
    fields = {**fields, "prompt": None, "messages": [message]}
    assert say(service, "/tokenize", fields)["count"] > 0
    say(service, "/detokenize", dict.fromkeys(optional_fields(DetokenizeRequest)))


def said(answer: dict[str, Any]) -> tuple[Any, Any]:
    """What does not differ between two answers that say the same; the cache may have helped."""
    usage = {name: answer["usage"][name] for name in ("prompt_tokens", "completion_tokens")}
    return answer["choices"], usage


def test_a_whole_float_is_an_integer_wherever_one_is_wanted(service: RunningService) -> None:
    whole = {
        "max_tokens": 4,
        "min_tokens": 2,
        "top_k": 5,
        "n": 2,
        "seed": 7,
        "stop_token_ids": [3, 4],
        "temperature": 1,
    }
    cases: list[tuple[str, dict[str, Any]]] = [
        (CHAT, {"logprobs": True, "top_logprobs": 2}),
        (CHAT, {"max_completion_tokens": 3}),
        (TEXT, {"logprobs": 2, "prompt": [5, 6]}),
        (TEXT, {"prompt": [[5, 6], [7]]}),
    ]
    for path, more in cases:
        as_integers = {**whole, **more}
        assert said(say(service, path, as_floats(as_integers))) == said(
            say(service, path, as_integers)
        )
    tokens = {"tokens": [5]}
    assert say(service, "/detokenize", as_floats(tokens)) == say(service, "/detokenize", tokens)


def as_floats(value: Any) -> Any:
    """The same JSON value with every integer as 16.0."""
    if isinstance(value, dict):
        return {name: as_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return float(value) if type(value) is int else value


@pytest.mark.parametrize("stop", ["", [], [""], None])
def test_an_empty_stop_is_no_stop(client: openai.OpenAI, stop: Any) -> None:
    options: dict[str, Any] = {
        "model": "pocket",
        "messages": HELLO,
        "temperature": 0,
        "max_tokens": 12,
    }
    free = client.chat.completions.create(**options)
    stopped = client.chat.completions.create(**options, stop=stop)
    assert stopped.choices[0].message.content == free.choices[0].message.content


def test_an_empty_string_beside_a_stop_string_does_not_end_the_answer(
    client: openai.OpenAI,
) -> None:
    messages: list[Any] = [{"role": "user", "content": "Count from 1 to 9."}]
    options: dict[str, Any] = {
        "model": "pocket",
        "messages": messages,
        "temperature": 0,
        "max_tokens": 60,
    }
    free = client.chat.completions.create(**options).choices[0].message.content
    stopped = client.chat.completions.create(**options, stop=["", "5"]).choices[0].message.content
    assert stopped == free[: free.index("5")]


def test_top_p_0_takes_the_likeliest_token(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Tell me a short story."}]
    options: dict[str, Any] = {"model": "pocket", "messages": messages, "max_tokens": 24}
    greedy = client.chat.completions.create(**options, temperature=0)
    narrow = client.chat.completions.create(**options, temperature=2, top_p=0)
    assert narrow.choices[0].message.content == greedy.choices[0].message.content


def test_the_widest_integers_are_served(service: RunningService) -> None:
    say(service, CHAT, {"top_k": 2**63 - 1, "seed": 2**63 - 1, "n": 2})
    say(service, CHAT, {"seed": -(2**63), "n": 2})


@pytest.mark.parametrize("field", ["max_tokens", "min_tokens", "seed", "n", "top_k", "temperature"])
@pytest.mark.parametrize("num_digits", [4299, 4300, 4301, 100_000])
def test_a_number_of_thousands_of_digits_is_400_in_a_short_text(
    service: RunningService, field: str, num_digits: int
) -> None:
    body = json.dumps({"model": "pocket", "messages": HELLO})[:-1]
    number = "9" * num_digits
    error = refusal(service, CHAT, f'{body}, "{field}": {number}}}'.encode())
    assert len(json.dumps(error)) < 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"logit_bias": {"k" * 100_000: "x"}},
        {"logit_bias": {"k" * 100_000: 1}},
        {"model": "m" * 100_000},
        {"messages": [{"role": "r" * 100_000, "content": "Hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "t" * 100_000}]}]},
        {"stop": ["s" * 100_000]},
        {"messages": [{**HELLO[0], "name": "n" * 100_000}]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_error_quotes_little_of_what_was_sent(
    service: RunningService, fields: dict[str, Any]
) -> None:
    with service.client() as http:
        response = http.post(CHAT, json={**LEAST[CHAT], **fields})
    assert 400 <= response.status_code < 500
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("GET", "/api/requests?limit=" + "9" * 5000, None, "limit must be an integer of fewer"),
        ("GET", "/api/requests?limit=many", None, "limit must be a valid integer"),
        ("POST", "/api/keys", {"name": "a", "scopes": [], "x" * 9999: 1}, "scopes must have at"),
        ("PATCH", "/api/keys/a", {"x" * 5000: 1}, "x" * 64 + " is not a field of this request."),
        ("PATCH", "/api/keys/a", {"rpm": 10**99}, "rpm must be less than or equal to"),
        ("DELETE", "/api/keys/" + "A" * 5000, None, "key_id must match pattern"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_routes_name_what_is_wrong_as_shortly(
    service: RunningService, method: str, path: str, body: Any, message: str
) -> None:
    with service.client() as http:
        response = http.request(method, path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)
    assert len(response.content) < 1000


def test_unknown_fields_are_logged_in_bounded_number_and_length(service: RunningService) -> None:
    logged = service.app.state.services.unknown_fields._logged
    logged.clear()
    with capture_logs() as lines:
        for k in range(4):
            say(service, CHAT, {f"made_up_{k}_{i}_{'x' * 200}": 1 for i in range(100)})
    names = [name for line in lines for name in line.get("fields", ())]
    assert 0 < len(names) <= 200
    assert max(map(len, names)) == 64
    logged.clear()
