"""Prompts cost before they are worked on, and one that is too long costs little."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from llm_service.engine.loading.loader import bundled_models
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
KEY = "a-key-for-tests-0123456789"
RPM = 5


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RunningService]:
    keys = SecretStr(f"caller:{KEY}")
    with RunningService(tmp_path, engine=FakeEngine(), api_keys=keys, default_rpm=RPM) as service:
        yield service


def body(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "pocket", "messages": [{"role": "user", "content": content}], **fields}


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        ("/tokenize", {"prompt": "Hi"}),
        ("/tokenize", {"messages": body("Hi")["messages"]}),
        ("/detokenize", {"tokens": [72, 105]}),
    ],
)
def test_counting_tokens_counts_as_a_request(
    limited: RunningService, path: str, request_body: dict[str, Any]
) -> None:
    with limited.client(KEY) as http:
        statuses = [http.post(path, json=request_body).status_code for _ in range(RPM + 1)]
    assert statuses == [200] * RPM + [429]


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        (CHAT, body("x" * 1000)),
        ("/v1/completions", {"model": "pocket", "prompt": "x" * 1000}),
    ],
)
def test_a_prompt_that_is_too_long_consumes_no_request_of_the_key(
    limited: RunningService, path: str, request_body: dict[str, Any]
) -> None:
    with limited.client(KEY) as http:
        statuses = [http.post(path, json=request_body).status_code for _ in range(RPM + 1)]
        assert statuses == [400] * (RPM + 1)
        assert http.post(CHAT, json=body("Hi", max_tokens=1)).status_code == 200


def test_a_key_without_requests_left_has_no_prompt_read(limited: RunningService) -> None:
    tokenizer = limited.engine.tokenizer
    read: list[str] = []
    encode = tokenizer.encode_text

    def encode_and_keep(text: str, **options: Any) -> list[int]:
        read.append(text)
        return encode(text, **options)

    tokenizer.encode_text = encode_and_keep
    with limited.client(KEY) as http:
        for _ in range(RPM + 3):
            http.post(CHAT, json=body("Hi", max_tokens=1))
    assert len(read) == RPM


@pytest.mark.parametrize(
    ("path", "request_body", "param"),
    [
        (CHAT, body("the quick < fox " * 100_000), "messages"),
        ("/v1/completions", {"model": "pocket", "prompt": "a < b " * 200_000}, "prompt"),
        ("/tokenize", {"prompt": "the quick brown fox " * 80_000}, "prompt"),
        ("/tokenize", {"messages": body("<|im_end|>" * 150_000)["messages"]}, "messages"),
        ("/detokenize", {"tokens": [5] * 5000}, "tokens"),
    ],
)
def test_what_is_far_too_long_is_refused_with_both_numbers(
    service: RunningService, path: str, request_body: dict[str, Any], param: str
) -> None:
    with service.client() as http:
        answer = http.post(path, json=request_body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)
    told = re.match(
        r"This model's maximum context length is 2048 tokens\. However, your \w+ resulted in"
        r" (?:at least )?(\d+) tokens",
        error["message"],
    )
    assert told is not None, error["message"]
    assert int(told[1]) > 2048


def test_tokens_of_a_text_a_little_too_long_are_counted(service: RunningService) -> None:
    with service.client() as http:
        answer = http.post("/tokenize", json={"prompt": "7 " * 1500}).json()
    assert answer["count"] == len(answer["tokens"]) > answer["max_model_len"]


@pytest.mark.parametrize(
    ("field", "value", "empty"),
    [
        ("thinking", "First I think.", ""),
        ("refusal", "I do not say that.", None),
        ("audio", {"id": "a"}, []),
    ],
)
def test_a_part_of_the_history_that_the_model_would_not_see_is_refused_by_name(
    service: RunningService, field: str, value: Any, empty: Any
) -> None:
    def ask(value: Any) -> httpx.Response:
        said = {"role": "assistant", "content": "Hello", field: value}
        messages = [{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "Hi"}]
        body = {"model": "pocket", "messages": messages, "max_tokens": 1}
        with service.client() as http:
            return http.post(CHAT, json=body)

    refused = ask(value)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == f"messages.1.{field}"
    assert ask(empty).status_code == 200


def test_unknown_fields_of_messages_are_logged_by_name(service: RunningService) -> None:
    service.app.state.services.unknown_fields._logged.clear()
    message = {"role": "user", "content": "Hi", "mood": "good"}
    with capture_logs() as lines, service.client() as http:
        asked = {"model": "pocket", "messages": [message], "max_tokens": 1}
        answer = http.post(CHAT, json=asked)
    assert answer.status_code == 200
    assert ["messages.mood"] in [line.get("fields") for line in lines]


def test_a_role_that_the_models_template_drops_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled_models()["pocket"], folder, ignore=shutil.ignore_patterns("*.py"))
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    messages = [*body("Hi")["messages"], {"role": "tool", "content": "12", "tool_call_id": "1"}]
    running = RunningService(tmp_path / "state", model_id=str(folder))
    with running as service, service.client() as http:
        known = http.post(CHAT, json={**body("Hi", max_tokens=1), "model": "model"})
        lost = http.post(CHAT, json={"model": "model", "messages": messages})
    assert known.status_code == 200
    assert lost.status_code == 400
    assert lost.json()["error"]["param"] == "messages.1.content"
    assert "'tool'" in lost.json()["error"]["message"]
