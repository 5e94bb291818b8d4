"""POST /chat and /generate, which older clients call, and GET /api/health."""

from typing import Any

import pytest

from tests.support.service import RunningService

HELLO = [{"role": "user", "content": "What is 7 plus 5?"}]


def post(service: RunningService, path: str, status: int = 200, **body: Any) -> Any:
    with service.client() as http:
        answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_chat_without_a_version_is_the_same_endpoint(service: RunningService) -> None:
    body: dict[str, Any] = {"model": "pocket", "messages": HELLO, "temperature": 0}
    found, expected = (post(service, p, **body) for p in ("/chat", "/v1/chat/completions"))
    assert found["choices"] == expected["choices"]
    assert found["object"] == "chat.completion"


def test_generate_continues_a_prompt_and_tgis_inputs_alike(service: RunningService) -> None:
    prompt = "1, 2, 3,"
    body: dict[str, Any] = {"temperature": 0, "max_tokens": 6}
    expected = post(service, "/v1/completions", model="pocket", prompt=prompt, **body)
    (choice,) = expected["choices"]
    found = post(service, "/generate", prompt=prompt, **body)
    assert found["text"] == found["generated_text"] == choice["text"]
    assert found["finish_reason"] == choice["finish_reason"]
    assert found["usage"]["completion_tokens"] == expected["usage"]["completion_tokens"]
    parameters = {"max_new_tokens": 6, "do_sample": False}
    tgi = post(service, "/generate", inputs=prompt, parameters=parameters)
    assert tgi["generated_text"] == choice["text"]
    full = post(
        service, "/generate", inputs=prompt, parameters={**parameters, "return_full_text": True}
    )
    assert full["generated_text"] == prompt + choice["text"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "inputs": "b"}, "prompt"),
        ({"prompt": "a", "parameters": {}}, "parameters"),
        ({"prompt": "a", "stream": True}, "stream"),
        ({"inputs": "a", "parameters": {"max_new_tokens": 9999}}, "parameters.max_new_tokens"),
        ({"inputs": "a", "parameters": {"details": True}}, "parameters.details"),
        ({"prompt": "a", "max_tokens": 9999}, "max_tokens"),
    ],
    ids=str,
)
def test_generate_refuses_by_the_name_that_was_sent(
    service: RunningService, body: dict[str, Any], param: str
) -> None:
    assert post(service, "/generate", 400, **body)["error"]["param"] == param


def test_the_health_route_of_other_services_is_open(service: RunningService) -> None:
    with service.client(key=None) as http:
        assert http.get("/api/health").json() == http.get("/health").json()
        assert http.head("/api/health").status_code == 200
