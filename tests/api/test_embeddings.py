"""POST /v1/embeddings as clients meet it: answers, refusals, cancelling, and what is counted."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai.types import embedding_create_params
from pydantic import SecretStr
from torch.nn.functional import normalize

from llm_service.api.parameter import Treatment
from llm_service.api.parameter_table import TABLE
from llm_service.api.schemas import MAX_INPUTS
from llm_service.cli.checks import run_checks
from tests.engine.embedders import (
    CLS,
    HIDDEN,
    LONGEST,
    SEP,
    embedding_tokenizer,
    hidden_states,
    save_embedder,
)
from tests.engine.test_embedding_core import Held
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

PATH = "/v1/embeddings"
KEY = "a-key-for-tests-0123456789"
PROMPTS = {"prompts": {"query": "find: ", "document": ""}, "default_prompt_name": "document"}
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_embedder(
        tmp_path_factory.mktemp("models") / "tiny",
        pooling={"pooling_mode_mean_tokens": True},
        config_sentence_transformers=PROMPTS,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[RunningService]:
    """A model that generates, and one beside it that makes embeddings."""
    with RunningService(
        tmp_path_factory.mktemp("state"),
        engine=FakeEngine(),
        embedding_model_id=str(folder),
        device="cpu",
        threads=1,
        api_keys=SecretStr(f"caller:{KEY}"),
    ) as service:
        yield service


@pytest.fixture
def official(both: RunningService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client:
        yield client


def ids_of(text: str) -> list[int]:
    tokenizer: Any = embedding_tokenizer()
    ids: list[int] = tokenizer(text, padding=False, truncation=False)["input_ids"]
    assert (ids[0], len(ids), ids[-1]) == (CLS, len(text) + 2, SEP)
    return ids


def reference(folder: Path, text: str) -> Any:
    return normalize(hidden_states(folder, ids_of(text)).mean(dim=0), dim=0).numpy()


def post(service: RunningService, **body: Any) -> Any:
    with service.client() as http:
        return http.post(PATH, json={"model": "tiny", **body})


def vectors(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return np.array([item["embedding"] for item in data], dtype=np.float32)


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_official_client_gets_each_text_s_embedding_in_order(
    official: openai.OpenAI, folder: Path, encoding: Any
) -> None:
    texts = ["short", "a much longer text " * 5, "x", "another text", "y" * 100]
    options = {} if encoding is None else {"encoding_format": encoding}
    found = official.embeddings.create(model="tiny", input=texts, user="me", **options)
    assert found.model == "tiny"
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(map(len, texts)) + 10
    for item, text in zip(found.data, texts, strict=True):
        embedding: Any = item.embedding
        if encoding == "base64":  # asked for by name, the client passes it on as it is
            embedding = np.frombuffer(base64.b64decode(embedding), dtype="<f4")
        assert np.abs(np.array(embedding) - reference(folder, text)).max() < 1e-5


def test_a_text_and_its_token_ids_have_the_same_embedding(
    both: RunningService, folder: Path
) -> None:
    ids = ids_of("hello")
    expected = reference(folder, "hello")
    for given in ("hello", ["hello"], ids, [ids]):
        assert np.abs(vectors(post(both, input=given)) - expected).max() < 1e-5
    with both.client() as http:
        counted = http.post("/tokenize", json={"model": "tiny", "prompt": "hello"}).json()
    assert counted["tokens"] == ids


def test_float_and_base64_are_the_same_numbers(both: RunningService) -> None:
    texts = [f"text {i}" for i in range(9)]
    encoded = post(both, input=texts, encoding_format="base64").json()["data"]
    read = [np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in encoded]
    assert np.array_equal(vectors(post(both, input=texts)), np.stack(read))


def test_fewer_dimensions_are_the_first_ones_at_length_1(
    both: RunningService, folder: Path
) -> None:
    (found,) = vectors(post(both, input="hello", dimensions=5))
    expected = reference(folder, "hello")[:5]
    assert np.abs(found - expected / np.linalg.norm(expected)).max() < 1e-5


def test_a_prompt_goes_before_each_text_and_one_can_be_the_default(
    both: RunningService, folder: Path
) -> None:
    (query,) = vectors(post(both, input="hello", prompt_name="query"))
    assert np.abs(query - reference(folder, "find: hello")).max() < 1e-5
    (default,) = vectors(post(both, input="hello"))
    assert np.abs(default - reference(folder, "hello")).max() < 1e-5


def test_inputs_are_cut_only_where_the_caller_asks_for_it(
    both: RunningService, folder: Path
) -> None:
    text = "abcdefgh" * 50
    answer = post(both, input=text, truncate_prompt_tokens=-1)
    assert answer.json()["usage"]["prompt_tokens"] == LONGEST
    expected = reference(folder, text[: LONGEST - 2])
    assert np.abs(vectors(answer)[0] - expected).max() < 1e-5
    answer = post(both, input=["abcdefgh", "ab"], truncate_prompt_tokens=6)
    assert answer.json()["usage"]["prompt_tokens"] == 6 + 4
    assert np.abs(vectors(answer)[0] - reference(folder, "abcd")).max() < 1e-5
    answer = post(both, input=[5] * 300, truncate_prompt_tokens=10)
    assert answer.json()["usage"]["prompt_tokens"] == 10


WRONG: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no input": ({}, "input", "is required", "invalid_request"),
    "an empty text": ({"input": ""}, "input", "is empty", "invalid_request"),
    "an empty list": ({"input": []}, "input", "is empty", "invalid_request"),
    "an empty text among others": ({"input": ["a", ""]}, "input.1", "is empty", "invalid_request"),
    "no token ids": ({"input": [[5], []]}, "input.1", "is empty", "invalid_request"),
    "an unknown token": ({"input": [[5], [260]]}, "input.1", "below 260", "invalid_request"),
    "a number": ({"input": 5}, "input", "must be a string", "invalid_request"),
    "a text among ids": ({"input": [5, "a"]}, "input", "", "invalid_request"),
    "a text that is too long": (
        {"input": ["a", "b" * 200]},
        "input.1",
        f"{LONGEST} tokens. However, your input.1 has 202 tokens",
        "context_length_exceeded",
    ),
    "a text that is far too long": (
        {"input": "b" * 100_000},
        "input",
        f"{LONGEST} tokens. However, your input has at least",
        "context_length_exceeded",
    ),
    "ids that are too long": (
        {"input": [5] * (LONGEST + 1)},
        "input",
        f"{LONGEST} tokens. However, your input has {LONGEST + 1} tokens",
        "context_length_exceeded",
    ),
    "too many inputs": (
        {"input": ["a"] * (MAX_INPUTS + 1)},
        "input",
        "at most 2,048 inputs; this one has 2,049",
        "invalid_request",
    ),
    "too many dimensions": (
        {"input": "a", "dimensions": HIDDEN + 1},
        "dimensions",
        f"dimensions is {HIDDEN + 1}, but this model's embeddings have {HIDDEN}",
        "invalid_request",
    ),
    "no dimensions": ({"input": "a", "dimensions": 0}, "dimensions", "", "invalid_request"),
    "an unknown format": (
        {"input": "a", "encoding_format": "int8"},
        "encoding_format",
        "",
        "invalid_request",
    ),
    "an unknown prompt": (
        {"input": "a", "prompt_name": "passage"},
        "prompt_name",
        "Its prompts: query, document",
        "invalid_request",
    ),
    "a cut to nothing": (
        {"input": "a", "truncate_prompt_tokens": 0},
        "truncate_prompt_tokens",
        f"-1 or between 1 and {LONGEST}",
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_400_and_says_what_would_be_right(
    both: RunningService, name: str
) -> None:
    body, param, words, code = WRONG[name]
    answer = post(both, **body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"].startswith(param)
    assert words in error["message"]
    assert error["code"] == code


def test_models_are_refused_what_they_do_not_do_and_the_right_one_is_named(
    both: RunningService, service: RunningService
) -> None:
    with both.client() as http:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
        chat = http.post("/v1/chat/completions", json=body)
        text = http.post("/v1/completions", json={"model": "tiny", "prompt": "Hi"})
    for answer in (chat, text):
        assert answer.status_code == 400
        assert "does not generate text" in answer.json()["error"]["message"]
        assert "here: pocket" in answer.json()["error"]["message"]
    other = post(both, model="pocket", input="a")
    assert other.status_code == 400
    assert "here: tiny" in other.json()["error"]["message"]
    alone = post(service, model="pocket", input="a")
    assert alone.status_code == 400
    assert "LLM_EMBEDDING_MODEL_ID" in alone.json()["error"]["message"]
    assert post(both, model="text-embedding-3-small", input="a").status_code == 404


def test_the_model_is_listed_with_its_dimensions_and_without_sampling(both: RunningService) -> None:
    with both.client() as http:
        pocket, tiny = http.get("/v1/models").json()["data"]
        page = http.get("/api/engine").json()
    (other,) = page["others"]
    assert page["model"]["id"] == "pocket"
    assert (other["model"]["id"], other["engine"]["kind"]) == ("tiny", "embedding")
    assert other["model"]["embedding"]["dimensions"] == HIDDEN
    assert pocket["embedding"] is None
    assert tiny["id"] == "tiny"
    assert tiny["max_model_len"] == LONGEST
    assert tiny["default_sampling"] == {}
    assert tiny["embedding"] == {
        "dimensions": HIDDEN,
        "pooling": "mean",
        "is_normalized": True,
        "prompts": ["query", "document"],
    }


def samples(service: RunningService, start: str) -> dict[str, float]:
    with service.client() as http:
        lines = http.get("/metrics").text.splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith(start))
    return {name: float(value) for name, _, value in found}


def test_a_request_is_recorded_counted_and_charged_to_its_key(both: RunningService) -> None:
    requests = 'llm_requests_total{model="tiny",operation="embedding",outcome="stop"}'
    tokens = 'llm_prompt_tokens_total{model="tiny",source="computed"}'
    of_key = 'llm_key_tokens_total{key_name="caller",kind="prompt"}'
    before = {name: samples(both, name).get(name, 0.0) for name in (requests, tokens)}
    key_before = sum(samples(both, of_key.split("{")[0]).values())
    with both.client(KEY) as http:
        answer = http.post(PATH, json={"model": "tiny", "input": ["abc", "de"]})
    assert answer.json()["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    assert "queue;dur=" in answer.headers["server-timing"]
    request_id = answer.headers["x-request-id"]
    with both.client() as http:
        record = http.get(f"/api/requests/{request_id}").json()
    assert record["operation"] == "embedding"
    assert record["outcome"] == "stop"
    assert record["key_name"] == "caller"
    assert record["model"] == "tiny"
    assert (record["prompt_tokens"], record["output_tokens"]) == (9, 0)
    assert record["duration_seconds"] > 0
    assert "abc" not in json.dumps(record)
    assert samples(both, requests)[requests] == before[requests] + 1
    assert samples(both, tokens)[tokens] == before[tokens] + 9
    assert sum(samples(both, of_key.split("{")[0]).values()) == key_before + 9
    assert samples(both, 'llm_ready{model="tiny"}') == {'llm_ready{model="tiny"}': 1}
    assert samples(both, 'llm_requests_running{model="tiny"}') == {
        'llm_requests_running{model="tiny"}': 0
    }


def test_a_refused_request_is_counted_as_rejected(both: RunningService) -> None:
    name = 'llm_requests_total{model="pocket",operation="embedding",outcome="rejected"}'
    before = samples(both, name).get(name, 0.0)
    assert post(both, input="").status_code == 400
    assert samples(both, name)[name] == before + 1


def test_the_limit_of_requests_holds(tmp_path: Path, folder: Path) -> None:
    with RunningService(
        tmp_path, model_id=str(folder), device="cpu", threads=1, default_rpm=2,
        api_keys=SecretStr(f"caller:{KEY}"),
    ) as service, service.client(KEY) as http:  # fmt: skip
        body = {"model": "tiny", "input": "a"}
        statuses = [http.post(PATH, json=body).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        # This model is the only one, so other parts show it too.
        with service.client() as admin:
            page = admin.get("/api/engine").json()
            facts = admin.get("/").json()
            status = admin.get("/api/status").json()
        assert page["model"]["engine"] == page["engine"]["kind"] == "embedding"
        assert page["engine"]["kv_cache_bytes"] == 0
        assert page["engine"]["is_ready"] is True
        assert "makes embeddings" in page["model"]["summary"]
        assert facts["engine"] == status["model"]["engine"] == "embedding"
        # and a few buffers, such as the positions
        num_bytes = page["model"]["num_parameters"] * 4
        assert num_bytes <= page["model"]["weights_bytes"] < 1.05 * num_bytes


def test_every_field_of_the_official_client_is_decided() -> None:
    known = {row.name for row in TABLE if "embeddings" in row.endpoints}
    assert set(embedding_create_params.EmbeddingCreateParams.__annotations__) <= known


def test_each_refused_field_is_400_and_named(both: RunningService) -> None:
    for row in TABLE:
        if "embeddings" in row.endpoints and row.treatment is Treatment.REFUSED:
            answer = post(both, input="a", **{row.name: 7})
            assert answer.json()["error"]["code"] == "unsupported_parameter", row.name
            assert answer.json()["error"]["param"] == row.name
            for accepted in (None, *row.accepted):
                assert post(both, input="a", **{row.name: accepted}).status_code == 200, row.name


class HeldService:
    """A service whose every step of the embedding engine the test lets go."""

    def __init__(self, state: Path, **settings: Any) -> None:
        self.held = Held()
        self.held.encode.gate.release()  # the warm-up
        self.service = RunningService(state, engine=self.held.engine, drain_seconds=0, **settings)

    def __enter__(self) -> "HeldService":
        self.service.__enter__()
        self.held.encode.entered.acquire()
        self.held.encode.calls.clear()
        return self

    def __exit__(self, *_: object) -> None:
        for _step in range(1000):
            self.held.encode.gate.release()
        self.service.stop()

    def entered(self) -> None:
        assert self.held.encode.entered.acquire(timeout=WAIT_SECONDS)


def test_the_service_answers_others_while_a_step_is_computed(tmp_path: Path) -> None:
    with HeldService(tmp_path) as slow, ThreadPoolExecutor() as pool:
        running = pool.submit(post, slow.service, input=["a", "b", "c"])
        slow.entered()
        with slow.service.client() as http:
            assert http.get("/health").status_code == 200
            (record,) = http.get("/api/requests").json()["running"]
        assert record["operation"] == "embedding"
        assert record["phase"] in ("queue", "prefill")
        assert (record["prompt_tokens"], record["num_computed_tokens"]) == (3, 0)
        slow.held.encode.gate.release(2)
        assert vectors(running.result(WAIT_SECONDS)).shape == (3, 2)


def test_an_operator_ends_a_request_and_the_rest_of_it_is_not_computed(tmp_path: Path) -> None:
    with HeldService(tmp_path) as slow, ThreadPoolExecutor() as pool:
        running = pool.submit(post, slow.service, input=["a"] * 50)
        slow.entered()
        with slow.service.client() as http:
            (record,) = http.get("/api/requests").json()["running"]
            ended = http.delete(f"/api/requests/{record['request_id']}")
            assert ended.status_code == 202
            slow.held.encode.gate.release()
            answer = running.result(WAIT_SECONDS)
            assert "operator" in answer.json()["error"]["message"]
            after = pool.submit(post, slow.service, input="bb")
            slow.entered()
            slow.held.encode.gate.release()
            assert after.result(WAIT_SECONDS).status_code == 200
            record = http.get(f"/api/requests/{record['request_id']}").json()
        assert record["outcome"] == "cancelled"
        assert slow.held.encode.calls == [[1, 1], [2]]


def test_a_client_that_leaves_ends_its_request(tmp_path: Path) -> None:
    with HeldService(tmp_path) as slow, ThreadPoolExecutor() as pool:
        host, port = slow.service.url.removeprefix("http://").split(":")
        body = json.dumps({"model": "tiny", "input": ["a"] * 50}).encode()
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
                % (ADMIN_KEY.encode(), len(body), body)
            )
            slow.entered()
        with slow.service.client() as http:
            ended = threading.Event()
            while not ended.wait(0.01):
                requests = http.get("/api/requests").json()
                if not requests["running"]:
                    ended.set()
            assert requests["requests"][0]["outcome"] == "cancelled"
        slow.held.encode.gate.release()
        after = pool.submit(post, slow.service, input="bb")
        slow.entered()
        slow.held.encode.gate.release()
        assert after.result(WAIT_SECONDS).status_code == 200
        assert slow.held.encode.calls == [[1, 1], [2]]


def test_a_request_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with (
        HeldService(tmp_path, request_timeout_seconds=0.05) as slow,
        ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(post, slow.service, input=["a"] * 3)
        slow.entered()
        threading.Event().wait(0.06)
        slow.held.encode.gate.release()
        answer = first.result(WAIT_SECONDS)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "deadline_exceeded"
        assert slow.held.encode.calls == [[1, 1]]


def test_the_largest_request_is_answered_whole(both: RunningService) -> None:
    texts = [f"{i}" for i in range(MAX_INPUTS)]
    answer = post(both, input=texts, encoding_format="base64")
    assert answer.status_code == 200
    assert len({item["embedding"] for item in answer.json()["data"]}) == MAX_INPUTS


def test_llm_service_check_asks_a_service_of_embeddings_for_embeddings(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunningService(tmp_path, model_id=str(folder), device="cpu", threads=1) as service:
        assert run_checks(service.url, ADMIN_KEY)
    assert f"embeddings only: {HIDDEN} values" in capsys.readouterr().out
