"""The table of requests, and what takes more than one request or a bare socket to show."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from tests.strangers.requests import (
    CHAT,
    COUNT,
    COUNT_ANSWER,
    ROWS,
    SUM_ANSWER,
    TEXT,
    Row,
    chat,
    text,
)
from tests.support.service import ADMIN_KEY, RunningService


@pytest.fixture(scope="module")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as http:
        yield http


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.path}: {row.name}")
def test_a_strange_request_is_answered_rightly(http: httpx.Client, row: Row) -> None:
    response = send(http, row)
    assert response.status_code == row.status, response.text
    assert response.headers["x-request-id"]
    answer = body_of(response)
    if row.status >= 400:
        assert list(answer) == ["error"]
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert 0 < len(answer["error"]["message"]) < 1000
    for path, fact in row.facts.items():
        value = at(answer, path)
        assert fact(value) if callable(fact) else value == fact, (path, value)


def send(http: httpx.Client, row: Row) -> httpx.Response:
    content = row.body if isinstance(row.body, bytes) else None
    if isinstance(row.body, dict):
        content = json.dumps(row.body).encode()
    headers = {name.encode(): value.encode() for name, value in row.headers.items()}
    if content is not None:
        headers = {b"content-type": b"application/json", **headers}
    return http.request(row.method, row.path, content=content, headers=headers)


def body_of(response: httpx.Response) -> Any:
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()
    *chunks, end = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    return {"chunks": [json.loads(chunk) for chunk in chunks], "end": end}


def at(answer: Any, path: str) -> Any:
    """What is at a dotted path; None where there is nothing."""
    for step in path.split("."):
        answer = answer[int(step)] if isinstance(answer, list) else (answer or {}).get(step)
    return answer


def said(http: httpx.Client, **fields: Any) -> list[str]:
    response = http.post(CHAT, json=chat(**fields))
    assert response.status_code == 200, response.text
    return [choice["message"]["content"] for choice in response.json()["choices"]]


def streamed(http: httpx.Client, path: str, body: dict[str, Any]) -> list[str]:
    """The text of each event of a stream that ends well."""
    answer = body_of(http.post(path, json={**body, "stream": True}))
    assert answer["end"] == "[DONE]"
    choices = [chunk["choices"][0] for chunk in answer["chunks"]]
    return [each["text"] if "text" in each else each["delta"].get("content") for each in choices]


STORY = [{"role": "user", "content": "Tell me a short story."}]


def test_a_seed_repeats_its_answer_and_another_gives_another(http: httpx.Client) -> None:
    def story(seed: int) -> str:
        (answer,) = said(http, messages=STORY, temperature=1.5, seed=seed, max_tokens=10)
        return answer

    answers = {seed: story(seed) for seed in range(3)}
    assert len(set(answers.values())) > 1
    assert {seed: story(seed) for seed in range(3)} == answers


def test_choices_of_one_seed_differ_and_repeat_together(http: httpx.Client) -> None:
    fields = {"messages": STORY, "temperature": 1.5, "seed": 11, "n": 4, "max_tokens": 10}
    answers = said(http, **fields)
    assert len(set(answers)) > 1
    assert said(http, **fields) == answers


def test_requests_in_one_batch_keep_their_own_temperature_and_stop(http: httpx.Client) -> None:
    """Every other request is as random as can be; the rest must not notice."""

    def ask(i: int) -> str:
        if i % 2:
            return said(http, messages=STORY, temperature=2, max_tokens=24)[0]
        return said(http, messages=COUNT, max_tokens=40, stop=["7"] if i % 4 else None)[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))
    assert set(answers[0::4]) == {COUNT_ANSWER}
    assert set(answers[2::4]) == {COUNT_ANSWER[: COUNT_ANSWER.index("7")]}


def test_a_stream_says_what_the_whole_answer_says(http: httpx.Client) -> None:
    assert "".join(filter(None, streamed(http, CHAT, chat()))) == SUM_ANSWER


def test_a_stream_sends_nothing_of_a_stop_string_that_is_still_open(http: httpx.Client) -> None:
    body = chat(messages=COUNT, max_tokens=40, stop=[", 4, 5"])
    assert "".join(filter(None, streamed(http, CHAT, body))) == "1, 2, 3"


def test_a_character_of_several_tokens_is_never_sent_in_pieces(http: httpx.Client) -> None:
    """The model may say nothing but the two bytes of a letter, in an order of its own."""
    letter = "\u0444"
    tokens = http.post("/tokenize", json={"prompt": letter}).json()["tokens"]
    assert len(tokens) == 2
    body = text(
        prompt=letter * 8,
        temperature=1,
        seed=5,
        max_tokens=32,
        ignore_eos=True,
        logit_bias={str(token): 100 for token in tokens},
    )
    whole = http.post(TEXT, json=body).json()["choices"][0]["text"]
    events = streamed(http, TEXT, body)
    assert letter in whole
    assert "".join(events) == whole
    assert sum(event.count("\ufffd") for event in events) == whole.count("\ufffd")


def test_the_chosen_token_is_among_its_alternatives(http: httpx.Client) -> None:
    body = text(temperature=2, seed=3, logprobs=1, max_tokens=12, ignore_eos=True)
    logprobs = http.post(TEXT, json=body).json()["choices"][0]["logprobs"]
    for token, value, top in zip(
        logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
    ):
        assert top[token] == value
        assert len(top) <= 2


def test_head_is_get_without_a_body(http: httpx.Client) -> None:
    response = http.head("/v1/models")
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) == len(http.get("/v1/models").content)


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_key_in_the_header_of_another_vendor_is_a_key(
    service: RunningService, header: str
) -> None:
    with service.client(key=None) as http:
        assert http.get("/v1/models", headers={header: ADMIN_KEY}).status_code == 200
        assert http.get("/v1/models", headers={header: "wrong"}).status_code == 401


def test_no_other_origin_is_let_in(http: httpx.Client) -> None:
    origin = {"origin": "https://elsewhere.example"}
    for response in (http.get("/v1/models", headers=origin), http.options(CHAT, headers=origin)):
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_connection_outlives_a_refused_request(service: RunningService) -> None:
    with socket.create_connection(address_of(service), timeout=60) as connection:
        for body, status in ((b"{", b"400"), (json.dumps(chat()).encode(), b"200")):
            connection.sendall(request_of(body, "1.1"))
            with connection.makefile("rb") as reader:
                assert reader.readline().split()[1] == status
                headers = dict(line.lower().split(b": ") for line in iter(reader.readline, b"\r\n"))
                reader.read(int(headers[b"content-length"]))


def test_a_stream_over_http_1_0_ends_with_the_connection(service: RunningService) -> None:
    with socket.create_connection(address_of(service), timeout=60) as connection:
        connection.sendall(request_of(json.dumps(chat(stream=True)).encode(), "1.0"))
        with connection.makefile("rb") as reader:
            answer = reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def test_what_is_no_http_is_refused_in_the_envelope(service: RunningService) -> None:
    with socket.create_connection(address_of(service), timeout=60) as connection:
        connection.sendall(b"HELO mail.example\r\n\r\n")
        with connection.makefile("rb") as reader:
            head, _, body = reader.read().partition(b"\r\n\r\n")
    assert head.split()[1] == b"400"
    assert b"application/json" in head.lower()
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def address_of(service: RunningService) -> tuple[str, int]:
    url = httpx.URL(service.url)
    return url.host, int(url.port or 0)


def request_of(body: bytes, version: str) -> bytes:
    return (
        f"POST {CHAT} HTTP/{version}\r\nhost: 127.0.0.1\r\nauthorization: Bearer {ADMIN_KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
