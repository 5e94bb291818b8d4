"""Bad input gets a clear error in OpenAI's envelope; nothing is a 500, nothing is ignored."""

import json
from typing import Any

import openai
import pytest
from structlog.testing import capture_logs

from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]


def refuse(service: RunningService, path: str, body: Any, status: int = 400) -> dict[str, Any]:
    with service.client() as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = http.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert response.headers["x-request-id"]
    return error


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nul", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"model": NaN}'],
    ids=["empty", "open", "nul", "list", "string", "not utf-8", "deep", "nan"],
)
def test_a_body_that_is_no_json_object_is_400(service: RunningService, body: bytes) -> None:
    assert refuse(service, CHAT, body)["type"] == "invalid_request_error"


def test_content_that_is_no_text_is_refused_by_name(service: RunningService) -> None:
    audio = [{"type": "input_audio", "input_audio": {}}]
    body = {"model": "pocket", "messages": [{"role": "user", "content": audio}]}
    error = refuse(service, CHAT, body)
    assert error["code"] == "unsupported_parameter"
    assert error["param"] == "messages.0.content"


def test_an_unknown_model_is_404_with_the_models_there_are(service: RunningService) -> None:
    error = refuse(service, CHAT, {"model": "gpt-9", "messages": HELLO}, 404)
    assert error["code"] == "model_not_found"
    assert "pocket" in error["message"]


def test_a_prompt_that_is_too_long_is_400_with_both_numbers_in_the_words_that_clients_know(
    service: RunningService,
) -> None:
    messages = [{"role": "user", "content": "word " * 4000}]
    with service.client() as http:
        count = http.post("/tokenize", json={"messages": messages}).json()["count"]
    error = refuse(service, CHAT, {"model": "pocket", "messages": messages})
    assert error["code"] == "context_length_exceeded"
    assert error["message"].startswith(
        "This model's maximum context length is 2048 tokens. However, your messages resulted in"
        f" {count} tokens"
    )


def test_more_tokens_than_the_context_holds_is_400_with_all_numbers_and_not_cut(
    service: RunningService,
) -> None:
    for path, prompt in ((CHAT, {"messages": HELLO}), ("/v1/completions", {"prompt": [5] * 9})):
        (name,) = prompt
        error = refuse(service, path, {"model": "pocket", **prompt, "max_tokens": 5000})
        assert error["code"] == "context_length_exceeded"
        assert error["message"].startswith(
            "This model's maximum context length is 2048 tokens. However, you requested 5009 tokens"
            f" (9 in the {name}, 5000 in the completion)."
        )


def test_an_empty_prompt_is_400(service: RunningService) -> None:
    refuse(service, "/v1/completions", {"model": "pocket", "prompt": ""})
    refuse(service, "/v1/completions", {"model": "pocket", "prompt": []})


def test_token_ids_beyond_the_vocabulary_are_400(service: RunningService) -> None:
    refuse(service, "/v1/completions", {"model": "pocket", "prompt": [10**6]})
    refuse(service, "/detokenize", {"tokens": [10**6]})


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "pocket", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "Hi"}]}',
        b'{"model": "pocket", "messages": [{"role": "\\ud800", "content": "Hi"}]}',
        b'{"model": "pocket", "messages": [{"role": "user", "content": "Hi"}],'
        b' "logit_bias": {"\\ud800": "x"}}',
    ],
    ids=["content", "model", "role", "logit_bias"],
)
def test_half_a_surrogate_pair_is_400_wherever_it_stands(
    service: RunningService, body: bytes
) -> None:
    refuse(service, CHAT, body)


def test_a_body_over_the_limit_is_413_declared_or_not(service: RunningService) -> None:
    limit = service.settings.max_body_bytes
    assert str(limit) in refuse(service, CHAT, b" " * (limit + 1), 413)["message"]
    with service.client() as http:
        pieces = (b" " * 65536 for _ in range(limit // 65536 + 2))
        response = http.post(CHAT, content=pieces, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "invalid_api_key"),
        ({"Authorization": "Bearer wrong"}, "invalid_api_key"),
        ({"Authorization": "Basic eDp5"}, "invalid_api_key"),
        ({"Authorization": "Bearer"}, "invalid_api_key"),
    ],
    ids=["no key", "bad key", "not bearer", "empty"],
)
def test_without_a_good_key_it_is_401_and_the_body_is_not_looked_at(
    service: RunningService, headers: dict[str, str], code: str
) -> None:
    with service.client(key=None) as http:
        response = http.post(CHAT, content=b"not json", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == code
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_official_client_raises_its_own_errors(service: RunningService) -> None:
    wrong = openai.OpenAI(base_url=f"{service.url}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError, match="not valid"):
        wrong.models.list()


def test_an_unknown_route_is_404_and_a_wrong_method_405(service: RunningService) -> None:
    refuse(service, "/v1/nothing", {}, 404)
    error = refuse(service, "/v1/models", {}, 405)
    assert error["code"] == "method_not_allowed"


def test_unknown_fields_are_accepted_and_logged_once(service: RunningService) -> None:
    body = {"model": "pocket", "messages": HELLO, "max_tokens": 2, "frequency_penality": 1}
    with capture_logs() as lines, service.client() as http:
        assert [http.post(CHAT, json=body).status_code for _ in range(3)] == [200] * 3
    warnings = [line for line in lines if line.get("fields") == ["frequency_penality"]]
    assert len(warnings) == 1


def test_a_request_id_that_is_not_sane_is_replaced(service: RunningService) -> None:
    with service.client() as http:
        response = http.get("/v1/models", headers={"x-request-id": "bad id;" + "x" * 200})
    assert response.headers["x-request-id"].isalnum()
    assert len(response.headers["x-request-id"]) <= 64
