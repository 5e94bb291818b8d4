"""Requests on their way through nginx: streamed, cancelled, refused and found again."""

import json
from typing import Any

import openai
import pytest

from tests.stack.compose import Stack, eventually

pytestmark = pytest.mark.stack

# Random tokens repeat no earlier text. Otherwise drafts would be right, and it would end too soon.
ENDLESS = {
    "model": "pocket",
    "prompt": "Count:",
    "max_tokens": 1900,
    "ignore_eos": True,
    "temperature": 2,
}


def record_of(stack: Stack, key: str, request_id: str) -> dict[str, Any] | None:
    with stack.client(key) as http:
        records = http.get("/api/requests?limit=100").json()["requests"]
    return next((record for record in records if record["request_id"] == request_id), None)


def test_the_official_client_chats_through_the_dashboards_port(stack: Stack, key: str) -> None:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model="pocket",
                messages=[{"role": "user", "content": "What is 7 plus 5?"}],
                stream=True,
            )
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "12" in text
    assert len(chunks) > 3


def test_a_stream_is_read_while_it_is_made_and_ends_when_its_reader_leaves(
    stack: Stack, key: str
) -> None:
    with stack.client(key) as http:
        body = {**ENDLESS, "stream": True}
        with http.stream("POST", "/v1/completions", json=body) as response:
            assert response.status_code == 200
            request_id = response.headers["x-request-id"]
            assert next(response.iter_lines()).startswith("data: ")
    record = eventually(lambda: record_of(stack, key, request_id), "its record")
    # Had nginx kept the answer together, or had it read on, all tokens would have been made.
    assert record["outcome"] == "cancelled"
    assert record["output_tokens"] < ENDLESS["max_tokens"]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_by_the_service_in_words(
    stack: Stack, key: str, is_chunked: bool
) -> None:
    body = b"x" * (5 * 2**20)
    with stack.client(key) as http:
        content = iter([body]) if is_chunked else body
        headers = {"Content-Type": "application/json"}
        answer = http.post("/v1/completions", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_what_nginx_refuses_is_in_the_envelope(stack: Stack, key: str) -> None:
    with stack.client(key) as http:
        answer = http.get("/v1/models", headers={"X-Long": "x" * 60_000})
        assert answer.status_code == 431
        assert answer.json()["error"]["code"] == "headers_too_large"
        assert answer.headers["x-content-type-options"] == "nosniff"
        answer = http.get("/v1/models?" + "x" * 60_000)
        assert answer.status_code == 414
        assert answer.json()["error"]["code"] == "uri_too_long"
        answer = http.post("/assets/nothing.js")
        assert "error" in answer.json()
        answer = http.delete("/index.html")
        assert answer.status_code in (404, 405)
        assert "error" in answer.json()


def test_a_killed_service_restarts_and_nginx_says_so_meanwhile(stack: Stack, key: str) -> None:
    with stack.client(key) as http:
        # Not process 1, which is init, but the one that it started.
        stack.run("llm_service", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")

        def refusal() -> Any:
            answer = http.get("/healthz")  # 200 from the service, whatever it does
            return answer if answer.status_code != 200 else None

        answer = eventually(refusal, "nginx finds nobody")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        error = json.loads(answer.text)["error"]
        assert (error["type"], error["code"]) == ("service_unavailable_error", "engine_unavailable")
        eventually(lambda: http.get("/readyz").status_code == 200, "it serves again", 600)
        assert http.get("/v1/models").status_code == 200  # with the key from before
    stack.up("--no-recreate")  # its health check agrees
    (container,) = stack.containers("llm_service")
    assert container["RestartCount"] == 1
