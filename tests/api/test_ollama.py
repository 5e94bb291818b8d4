"""Ollama's routes, through its official client and as bytes on the wire."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import numpy as np
import ollama
import pytest
from structlog.testing import capture_logs

from llm_service.api.ollama.answers import OllamaFormat
from llm_service.api.ollama.requests import OllamaChatRequest
from llm_service.api.parameter import Treatment
from llm_service.api.parameter_table import TABLE
from llm_service.api.responses import usage_out
from llm_service.engine import FinishReason
from llm_service.engine.answer import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from llm_service.errors import EngineFailed
from llm_service.observability.record import RequestRecord
from tests.api.test_choice import Scripted, choice, chunk
from tests.engine.embedders import HIDDEN, LONGEST, save_embedder
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

QUESTION = [{"role": "user", "content": "What is 7 plus 5?"}]
LEAST: dict[str, dict[str, Any]] = {
    "ollama_chat": {"model": "pocket", "messages": QUESTION, "stream": False},
    "ollama_generate": {"model": "pocket", "prompt": "Hi", "stream": False},
    "ollama_embed": {"model": "tiny", "input": "Hi"},
    "ollama_embeddings": {"model": "tiny", "prompt": "Hi"},
}
PATHS = {"ollama_chat": "/api/chat", "ollama_generate": "/api/generate"}
EMBED_PATHS = {"ollama_embed": "/api/embed", "ollama_embeddings": "/api/embeddings"}
GREEDY: dict[str, Any] = {"temperature": 0, "num_predict": 40}


@pytest.fixture
def client(service: RunningService) -> Iterator[ollama.Client]:
    with official(service) as client:
        yield client


@pytest.fixture(scope="module")
def faked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A fake engine, named pocket, and beside it `tiny`, a model that makes embeddings."""
    with RunningService(
        tmp_path_factory.mktemp("state"),
        engine=FakeEngine(),
        embedding_model_id=str(save_embedder(tmp_path_factory.mktemp("models") / "tiny")),
        device="cpu",
        threads=1,
    ) as running:
        yield running


@pytest.fixture
def embedder(faked: RunningService) -> Iterator[ollama.Client]:
    with official(faked) as client:
        yield client


def official(service: RunningService) -> ollama.Client:
    return ollama.Client(host=service.url, headers={"Authorization": f"Bearer {ADMIN_KEY}"})


def vectors(http: httpx.Client, **body: Any) -> Any:
    """The embeddings that `/v1/embeddings` makes."""
    data = http.post("/v1/embeddings", json={"model": "tiny", **body}).json()["data"]
    return np.array([item["embedding"] for item in data])


def test_the_official_client_gets_the_same_answer_streamed_and_whole(
    client: ollama.Client,
) -> None:
    whole = client.chat(model="pocket", messages=QUESTION, options=GREEDY)
    assert "12" in (whole.message.content or "")
    assert (whole.done, whole.done_reason) == (True, "stop")
    parts = list(client.chat(model="pocket", messages=QUESTION, options=GREEDY, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert len(parts) > 2
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    last = parts[-1]
    assert (last.eval_count, last.prompt_eval_count) == (whole.eval_count, whole.prompt_eval_count)
    assert last.eval_count
    assert last.prompt_eval_count
    assert last.total_duration
    assert last.eval_duration
    assert last.total_duration >= last.eval_duration


def test_a_prompt_is_answered_as_a_users_message_is(client: ollama.Client) -> None:
    chat = client.chat(model="pocket", messages=QUESTION, options=GREEDY)
    text = QUESTION[0]["content"]
    assert client.generate("pocket", text, options=GREEDY).response == chat.message.content
    parts = client.generate("pocket", text, options=GREEDY, stream=True)
    assert "".join(part.response or "" for part in parts) == chat.message.content
    both = [{"role": "system", "content": "Be brief."}, *QUESTION]
    told = client.chat(model="pocket", messages=both, options=GREEDY)
    generated = client.generate("pocket", text, system="Be brief.", options=GREEDY)
    assert generated.response == told.message.content
    assert generated.prompt_eval_count == told.prompt_eval_count


def test_a_raw_prompt_is_continued_without_the_template(
    client: ollama.Client, service: RunningService
) -> None:
    raw = client.generate("pocket", "1, 2, 3,", raw=True, options={**GREEDY, "num_predict": 5})
    with service.client() as http:
        body = {"model": "pocket", "prompt": "1, 2, 3,", "temperature": 0, "max_tokens": 5}
        expected = http.post("/v1/completions", json=body).json()
    assert raw.response == expected["choices"][0]["text"]
    assert raw.prompt_eval_count == expected["usage"]["prompt_tokens"]


def test_options_mean_what_the_fields_of_chat_mean(
    client: ollama.Client, service: RunningService
) -> None:
    shared: dict[str, Any] = {"temperature": 1.4, "top_k": 20, "top_p": 0.9, "seed": 5}
    shared["stop"] = ["."]
    with service.client() as http:
        body = {"model": "pocket", "messages": QUESTION, "max_tokens": 12, **shared}
        expected = http.post("/chat", json=body).json()["choices"][0]["message"]["content"]
    options = {**shared, "num_predict": 12, "num_ctx": 4096}
    found = client.chat(model="pocket", messages=QUESTION, options=options)
    assert found.message.content == expected
    cut = client.chat(model="pocket", messages=QUESTION, options={"num_predict": 1})
    assert (cut.done_reason, cut.eval_count) == ("length", 1)


def test_models_are_listed_and_described(client: ollama.Client) -> None:
    (listed,) = client.list().models
    assert listed.model == "pocket"
    assert listed.size
    shown = client.show("pocket:latest")
    assert shown.modelinfo is not None
    family = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{family}.context_length"] == 2048
    assert "completion" in (shown.capabilities or ())
    assert [model.model for model in client.ps().models] == ["pocket"]


def test_a_request_without_a_prompt_says_that_the_model_is_loaded(client: ollama.Client) -> None:
    loaded = client.chat(model="pocket", messages=[], keep_alive=-1)
    assert (loaded.done, loaded.done_reason, loaded.message.content) == (True, "load", "")
    assert client.generate("pocket", "").done_reason == "load"


def test_errors_are_in_ollamas_envelope(client: ollama.Client, service: RunningService) -> None:
    with pytest.raises(ollama.ResponseError, match="'other' is not served here") as missing:
        client.chat(model="other", messages=QUESTION)
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match=r"maximum context length is 2048"):
        client.chat(model="pocket", messages=[{"role": "user", "content": "word " * 4000}])
    with service.client(key=None) as http:
        refused = http.post("/api/chat", json=LEAST["ollama_chat"])
        assert refused.status_code == 401
        assert isinstance(refused.json()["error"], str)
    with service.client() as http:
        for fields, words in (
            ({"options": {"num_predict": 0}}, "options.num_predict must be at least 1"),
            ({"options": {"num_predict": 9999}}, "options.num_predict"),
            ({"options": {"temperature": 9}}, "options.temperature must be less than"),
            ({"options": {"num_ctx": 0}}, "options.num_ctx must be greater than"),
            ({"format": "xml"}, "format must be"),
            ({"think": "much"}, "think must be"),
            ({"messages": [{"role": "king"}]}, "messages.0.role"),
        ):
            answer = http.post("/api/chat", json={**LEAST["ollama_chat"], **fields})
            assert answer.status_code == 400, fields
            assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "fields",
    [
        '"format": {"title": "\\ud800"}',
        '"messages": [{"role": "assistant", "tool_calls":'
        ' [{"function": {"name": "f", "arguments": {"a": "\\ud800"}}}]}]',
    ],
    ids=["format", "arguments"],
)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(
    service: RunningService, fields: str
) -> None:
    body = f'{{"model": "pocket", "messages": [{{"role": "user", "content": "Hi"}}], {fields}}}'
    with service.client() as http:
        headers = {"Content-Type": "application/json"}
        answer = http.post("/api/chat", content=body, headers=headers)
    assert answer.status_code == 400
    assert "surrogate" in answer.json()["error"]


@pytest.mark.parametrize("endpoint", PATHS)
def test_fields_with_an_effect_that_is_not_offered_are_refused_by_name(
    service: RunningService, endpoint: str
) -> None:
    rows = [row for row in TABLE if endpoint in row.endpoints]
    refused = [row for row in rows if row.treatment is Treatment.REFUSED]
    assert len(refused) >= 8
    with service.client() as http:
        for row in refused:
            parent, _, name = row.name.rpartition(".")
            fields: dict[str, Any] = {name: "x"}
            if parent == "options":
                fields = {"options": fields}
            elif parent == "messages":
                fields = {"messages": [{**QUESTION[0], **fields}]}
            answer = http.post(PATHS[endpoint], json={**LEAST[endpoint], **fields})
            assert answer.status_code == 400, row.name
            assert name in answer.json()["error"]
        harmless = [row.name for row in rows if row.treatment is Treatment.NO_EFFECT]
        options = {name.removeprefix("options."): 1 for name in harmless if "." in name}
        body = {**LEAST[endpoint], "options": {**options, "num_predict": 1}, "keep_alive": "5m"}
        assert http.post(PATHS[endpoint], json=body).status_code == 200


def test_a_stream_is_lines_of_json_and_an_error_is_the_last_of_them(
    faked: RunningService,
) -> None:
    engine = faked.engine
    engine.hold(after=2)
    body = {"model": "pocket", "messages": QUESTION}
    with faked.client() as http, http.stream("POST", "/api/chat", json=body) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = answer.iter_lines()
        assert json.loads(next(lines))["message"] == {"role": "assistant", "content": "o"}
        assert json.loads(next(lines))["message"]["content"] == "k"
        engine.fail_all(EngineFailed("The engine failed."))
        rest = [json.loads(line) for line in lines]
    engine.release()
    assert rest == [{"error": "The engine failed."}]


def test_what_was_asked_is_counted_as_inference(faked: RunningService) -> None:
    with faked.client() as http:
        body = {**LEAST["ollama_chat"], "options": {"num_predict": 3}}
        assert http.post("/api/chat", json=body).json()["eval_count"] == 3
        newest = http.get("/api/requests").json()["requests"][0]
    assert (newest["operation"], newest["output_tokens"]) == ("chat", 3)


def test_an_answer_has_the_format_that_was_asked_for(client: ollama.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["sum"],
        "additionalProperties": False,
    }
    found = client.chat(model="pocket", messages=QUESTION, format=schema, options=GREEDY)
    assert json.loads(found.message.content or "").keys() == {"sum"}


def test_calls_and_reasoning_in_a_history_become_those_of_a_chat() -> None:
    function = {"name": "add", "description": "", "parameters": {"type": "object"}}
    calls = [{"function": {"name": "add", "arguments": {"a": 7, "b": "ü"}}}]
    body = OllamaChatRequest.model_validate(
        {
            "model": "pocket",
            "messages": [
                *QUESTION,
                {"role": "assistant", "content": "", "thinking": "Add.", "tool_calls": calls},
                {"role": "tool", "tool_name": "add", "content": "12"},
            ],
            "tools": [{"type": "function", "function": function}],
            "think": False,
        }
    )
    asked = body.to_openai()
    called, result = asked.messages[1:]
    assert called.reasoning_content == "Add."
    assert called.tool_calls is not None
    assert json.loads(called.tool_calls[0].function.arguments) == {"a": 7, "b": "ü"}
    assert (result.role, result.name, result.content) == ("tool", "add", "12")
    assert [tool.name for tool in asked.offered] == ["add"]
    assert asked.enable_thinking is False
    high = OllamaChatRequest.model_validate({"model": "p", "messages": QUESTION, "think": "high"})
    assert high.to_openai().reasoning_effort == "high"


def test_calls_come_whole_with_their_arguments_as_objects() -> None:
    deltas: list[Delta] = [
        ReasoningDelta("Add."),
        TextDelta("Wait. "),
        ToolCallDelta(0, '{"a":', "call_1", "add"),
        ToolCallDelta(0, " 7}"),
        ToolCallDelta(1, "seven", "call_2", "say"),
    ]
    made = choice(Scripted(*deltas))
    made.feed(chunk("", FinishReason.STOP))
    record = RequestRecord("r", 0.0, "alice", "chat", "pocket", stream=True)
    shape, usage = OllamaFormat(record, "pocket"), usage_out(3, 0, 5)
    blocks = [*shape.increment(0, deltas), *shape.closing([made], usage)]
    text, calls, end = (json.loads(block) for block in blocks)
    expected = [
        {"function": {"name": "add", "arguments": {"a": 7}}},
        {"function": {"name": "say", "arguments": {"arguments": "seven"}}},
    ]
    assert text["message"] == {"role": "assistant", "content": "Wait. ", "thinking": "Add."}
    assert calls["message"]["tool_calls"] == expected
    assert [line["done"] for line in (text, calls, end)] == [False, False, True]
    assert (end["done_reason"], end["eval_count"]) == ("stop", 5)
    whole = shape.whole([made], usage)
    assert whole["message"]["tool_calls"] == expected
    assert whole["message"]["thinking"] == "Add."
    for line in (text, calls, end, whole):
        ollama.ChatResponse.model_validate(line)


def test_the_official_client_gets_the_embeddings_of_v1_embeddings(
    embedder: ollama.Client, faked: RunningService
) -> None:
    texts = ["short", "a longer text " * 5, "x"]
    with faked.client() as http:
        expected = vectors(http, input=texts)
    found = embedder.embed("tiny:latest", texts, keep_alive="5m")
    assert found.model == "tiny:latest"
    assert np.abs(np.array(found.embeddings) - expected).max() < 1e-5
    assert found.prompt_eval_count == sum(map(len, texts)) + 2 * len(texts)
    assert found.total_duration
    assert found.load_duration == 0
    (one,) = embedder.embed("tiny", texts[1]).embeddings
    older = embedder.embeddings("tiny", texts[1])
    assert np.abs(np.array(one) - expected[1]).max() < 1e-5
    assert np.abs(np.array(older.embedding) - expected[1]).max() < 1e-5


def test_fewer_dimensions_and_cut_texts_are_those_of_v1_embeddings(
    embedder: ollama.Client, faked: RunningService
) -> None:
    long = "abcdefgh" * 50
    with faked.client() as http:
        few = vectors(http, input="hello", dimensions=5)
        cut = vectors(http, input=long, truncate_prompt_tokens=-1)
    assert np.allclose(np.array(embedder.embed("tiny", "hello", dimensions=5).embeddings), few)
    found = embedder.embed("tiny", long)
    assert found.prompt_eval_count == LONGEST
    assert np.allclose(np.array(found.embeddings), cut)
    assert np.allclose(np.array(embedder.embeddings("tiny", long).embedding), cut[0])


def test_no_text_to_embed_says_that_the_model_is_loaded(embedder: ollama.Client) -> None:
    assert list(embedder.embed("tiny", "").embeddings) == []
    assert list(embedder.embed("tiny", []).embeddings) == []
    assert list(embedder.embeddings("tiny").embedding) == []
    with pytest.raises(ollama.ResponseError, match="here: tiny"):
        embedder.embed("pocket", "")


def test_wrong_requests_for_embeddings_are_refused_in_ollamas_envelope(
    faked: RunningService,
) -> None:
    long = {"input": ["a", "b" * 300], "truncate": False}
    with faked.client() as http:
        for fields, words in (
            ({"input": 5}, "input must be a string or a list of strings"),
            ({"input": [[5, 6]]}, "input.0"),
            ({"input": ["a", ""]}, "input.1 is empty"),
            ({"input": ["a"] * 2049}, "at most 2,048 inputs"),
            (long, f"{LONGEST} tokens. However, your input.1 has 302 tokens"),
            (long, "or set truncate to cut it"),
            ({"dimensions": HIDDEN + 1}, f"this model's embeddings have {HIDDEN}"),
            ({"options": 5}, "options"),
            ({"model": "pocket"}, "here: tiny"),
        ):
            answer = http.post("/api/embed", json={**LEAST["ollama_embed"], **fields})
            assert answer.status_code == 400, fields
            assert words in answer.json()["error"]
        body = {"model": "tiny", "prompt": "b" * 300, "truncate": False}
        assert "your prompt has" in http.post("/api/embeddings", json=body).json()["error"]
        body = {**LEAST["ollama_embed"], "model": "other"}
        assert http.post("/api/embed", json=body).status_code == 404
    with faked.client(key=None) as http:
        for endpoint, path in EMBED_PATHS.items():
            refused = http.post(path, json=LEAST[endpoint])
            assert refused.status_code == 401
            assert isinstance(refused.json()["error"], str)


@pytest.mark.parametrize("endpoint", EMBED_PATHS)
def test_each_field_about_embeddings_is_harmless_or_refused_by_name(
    faked: RunningService, endpoint: str
) -> None:
    rows = [row for row in TABLE if endpoint in row.endpoints]
    harmless = [row.name for row in rows if row.treatment is Treatment.NO_EFFECT]
    options = {name.removeprefix("options."): 1 for name in harmless if "." in name}
    assert len(options) > 20
    with faked.client() as http:
        body = {**LEAST[endpoint], "options": options, "keep_alive": "5m"}
        with capture_logs() as lines:
            answer = http.post(EMBED_PATHS[endpoint], json=body)
        assert answer.json().keys() & {"embedding", "embeddings"}
        assert not [line for line in lines if "fields" in line]
        refused = [row for row in rows if row.treatment is Treatment.REFUSED]
        assert len(refused) > 3
        for row in refused:
            answer = http.post(EMBED_PATHS[endpoint], json={**LEAST[endpoint], row.name: "x"})
            assert answer.status_code == 400, row.name
            assert answer.json()["error"].startswith(f"{row.name} is not supported here: ")


def test_requests_for_embeddings_are_recorded_as_such(
    embedder: ollama.Client, faked: RunningService
) -> None:
    embedder.embed("tiny", ["abc", "de"])
    embedder.embeddings("tiny", "abc")
    with faked.client() as http:
        newest = http.get("/api/requests").json()["requests"][:2]
    assert [record["operation"] for record in newest] == ["embedding"] * 2
    assert [record["prompt_tokens"] for record in newest] == [5, 9]


def test_a_model_that_makes_embeddings_says_so(embedder: ollama.Client) -> None:
    shown = embedder.show("tiny")
    assert shown.capabilities == ["embedding"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.architecture"] == "bert"
    assert shown.modelinfo["bert.embedding_length"] == HIDDEN
    assert [model.model for model in embedder.list().models] == ["pocket", "tiny"]
