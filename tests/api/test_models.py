"""What is told about models, under the names that clients look for, and aliases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from llm_service.api.model_list import system_fingerprint
from llm_service.config import Settings, words_of
from tests.support.fake_engine import INFO, FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

HELLO: list[Any] = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def aliased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    aliases = "claude-pocket=pocket, org/small=pocket"
    with RunningService(state, engine=FakeEngine(), model_aliases=aliases) as running:
        yield running


def test_a_models_context_has_every_name_that_clients_read(aliased: RunningService) -> None:
    with aliased.client() as http:
        listed = http.get("/v1/models").json()
        assert listed == http.get("/models").json()
        model = http.get("/v1/models/pocket").json()
    assert model == listed["data"][0]
    for name in ("max_model_len", "context_length", "max_context_length"):
        assert model[name] == INFO.max_context
    assert model["meta"] == {"n_ctx": INFO.max_context, "n_vocab": INFO.vocab_size}
    assert model["max_output_tokens"] == INFO.max_context - 1
    assert model["capabilities"]["completion"] is True
    assert model["capabilities"]["chat"] is True


def test_codex_finds_what_it_needs_about_each_model(aliased: RunningService) -> None:
    with aliased.client() as http:
        entries = http.get("/models").json()["models"]
    assert [entry["slug"] for entry in entries] == ["pocket", "claude-pocket", "org/small"]
    required = {
        *("slug", "display_name", "supported_reasoning_levels", "shell_type", "visibility"),
        *("supported_in_api", "priority", "base_instructions", "supports_reasoning_summaries"),
        *("support_verbosity", "truncation_policy", "supports_parallel_tool_calls"),
        *("experimental_supported_tools", "context_window", "input_modalities"),
    }
    assert all(required <= entry.keys() for entry in entries)
    assert entries[0]["context_window"] == INFO.max_context
    assert len(entries[0]["base_instructions"]) > 100


def test_a_list_has_pages_as_at_anthropic(aliased: RunningService) -> None:
    with aliased.client() as http:
        whole = http.get("/v1/models?limit=1000").json()
        part = http.get("/v1/models?limit=2").json()
        wrong = http.get("/v1/models?limit=0")
    assert [model["id"] for model in whole["data"]] == ["pocket", "claude-pocket", "org/small"]
    ends = (whole["has_more"], whole["first_id"], whole["last_id"])
    assert ends == (False, "pocket", "org/small")
    assert (len(part["data"]), part["has_more"], part["last_id"]) == (2, True, "claude-pocket")
    assert whole["data"][0]["type"] == "model"
    assert whole["data"][0]["created_at"].endswith("Z")
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "limit"


@pytest.mark.parametrize("name", ["claude-pocket", "org/small"])
def test_a_request_for_an_alias_is_served_by_its_model(aliased: RunningService, name: str) -> None:
    with aliased.client() as http:
        body = {"model": name, "messages": HELLO}
        chat = http.post("/v1/chat/completions", json={**body, "max_tokens": 3})
        assert chat.json()["model"] == "pocket"
        described = http.get(f"/v1/models/{name}").json()
        options = {"num_predict": 3}
        ollama = http.post("/api/chat", json={**body, "stream": False, "options": options}).json()
    assert (described["id"], described["root"]) == (name, "pocket")
    assert ollama["model"] == name


def test_a_name_that_is_not_served_is_answered_with_those_that_are(
    aliased: RunningService,
) -> None:
    with aliased.client() as http:
        message = http.get("/v1/models/none").json()["error"]["message"]
    assert "Available: pocket, claude-pocket, org/small." in message


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ("pocket=pocket", "'pocket' is the name of a model, so it cannot be an alias"),
        ("small=other", "'small' stands for 'other', which is not served. Served: pocket."),
    ],
)
def test_an_alias_that_shadows_or_names_no_model_stops_the_start(
    tmp_path: Path, aliases: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = RunningService(tmp_path, engine=FakeEngine(), model_aliases=aliases)
    with pytest.raises(AssertionError, match="could not be loaded"):
        service.__enter__()
    service.stop()
    assert service.server.exit_status == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model_aliases", "small", "'small' is not an alias: write name=model."),
        ("model_aliases", "a=x,a=y", "the alias 'a' is defined twice."),
        ("cors_origins", "app.example", "'app.example' is not an origin"),
        ("cors_origins", "https://app.example/page", "is not an origin"),
    ],
)
def test_a_malformed_setting_is_refused_by_name(field: str, value: str, words: str) -> None:
    settings: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=field) as refused:
        Settings(**settings)
    (sentence,) = words_of(refused.value)
    assert sentence.startswith(f"LLM_{field.upper()}: ")
    assert words in sentence


def test_answers_carry_a_fingerprint_that_is_stable(aliased: RunningService) -> None:
    with openai.OpenAI(base_url=f"{aliased.url}/v1", api_key=ADMIN_KEY) as client:
        chat = client.chat.completions.create(model="pocket", messages=HELLO, max_tokens=2)
        text = client.completions.create(model="pocket", prompt="Hi", max_tokens=2, stream=True)
        found = {chat.system_fingerprint, *(chunk.system_fingerprint for chunk in text)}
    assert found == {system_fingerprint(INFO)}
    assert system_fingerprint(INFO).startswith("fp_")
