"""Settings: where secrets come from, and that they stay secret."""

import os
import traceback
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from llm_service.config import Settings, words_of
from llm_service.engine.config import EngineConfig

SECRETS = (
    "ADMIN_KEY",
    "METRICS_KEY",
    "API_KEYS",
    "DATABASE_URL",
    "REDIS_URL",
    "PROMETHEUS_URL",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LLM_"):
            monkeypatch.delenv(name)


def test_each_field_of_the_engine_is_a_setting_of_that_name_type_and_default() -> None:
    """But `served_name` and `embeds`, which the operator does not set."""
    hints = get_type_hints(EngineConfig)
    own = {field.name: field.default for field in fields(EngineConfig)}
    del own["served_name"], own["embeds"]
    stated = {
        name: (field.annotation, field.default)
        for name, field in Settings.model_fields.items()
        if name in own
    }
    assert stated == {name: (hints[name], default) for name, default in own.items()}


def test_the_engine_is_configured_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().engine_config() == EngineConfig()
    asked: dict[str, Any] = {
        "model_id": "m", "device": "cpu", "dtype": "bfloat16", "quantization": "4bit",
        "kv_cache_dtype": "int8", "kernels": "none", "engine": "batched", "threads": 3,
        "kv_cache_bytes": 5, "max_batch_size": 7, "max_batched_tokens": 99,
        "max_inter_token_ms": 11, "speculation": "none", "model_format": "hermes",
        "max_context": 77, "block_size": 8, "prefix_cache": False, "max_waiting": 13,
    }  # fmt: skip
    for name, value in asked.items():
        monkeypatch.setenv(f"LLM_{name.upper()}", str(value))
    assert Settings().engine_config() == EngineConfig(**asked)
    assert asked.keys() | {"served_name", "embeds"} == {
        field.name for field in fields(EngineConfig)
    }


def test_the_second_engine_takes_only_the_settings_that_are_not_about_the_first_model() -> None:
    assert Settings().embedding_engine_config() is None
    settings = Settings(
        embedding_model_id="e", model_id="m", quantization="4bit", max_context=77, threads=3,
        max_waiting=13, device="cpu",
    )  # fmt: skip
    assert settings.embedding_engine_config() == EngineConfig(
        model_id="e", threads=3, max_waiting=13, device="cpu", embeds=True
    )


def failure() -> tuple[list[str], str]:
    """The words for the user, and everything that a log could show."""
    with pytest.raises(ValidationError) as caught:
        Settings()
    return words_of(caught.value), "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_the_environment_or_from_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LLM_{name}", "from-the-environment")
    assert getattr(Settings(), name.lower()).get_secret_value() == "from-the-environment"
    monkeypatch.delenv(f"LLM_{name}")
    (tmp_path / "secret").write_text("  from-a-file\n\n")
    monkeypatch.setenv(f"LLM_{name}_FILE", str(tmp_path / "secret"))
    assert getattr(Settings(), name.lower()).get_secret_value() == "from-a-file"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_given_twice_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("SENTINEL")
    monkeypatch.setenv(f"LLM_{name}", "SENTINEL")
    monkeypatch.setenv(f"LLM_{name}_FILE", str(tmp_path / "secret"))
    words, everything = failure()
    assert words == [f"LLM_{name} and LLM_{name}_FILE are both set."]
    assert "SENTINEL" not in everything


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read {file}: No such file or directory."),
        (b" \n", "{file} is empty."),
        (b"SENTINEL\xff", "{file} is not UTF-8 text."),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_refused_in_words(
    content: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("LLM_REDIS_URL_FILE", str(file))
    words, everything = failure()
    assert words == ["LLM_REDIS_URL_FILE: " + reason.format(file=file)]
    assert "SENTINEL" not in everything


def test_an_empty_variable_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ADMIN_KEY", "")
    monkeypatch.setenv("LLM_API_KEYS_FILE", "")
    monkeypatch.setenv("LLM_PORT", "")
    settings = Settings()
    assert (settings.admin_key, settings.api_keys, settings.port) == (None, None, 8000)
    (tmp_path / "secret").write_text("from-a-file")
    monkeypatch.setenv("LLM_ADMIN_KEY_FILE", str(tmp_path / "secret"))
    assert Settings().admin_key is not None


def test_each_problem_has_a_sentence_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PORT", "http")
    monkeypatch.setenv("LLM_LOG_LEVEL", "loud")
    words, _ = failure()
    assert [sentence.split(":")[0] for sentence in words] == ["LLM_PORT", "LLM_LOG_LEVEL"]
    assert words_of(ValueError("Something else.")) == ["Something else."]


def test_secrets_show_neither_in_a_repr_nor_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(f"LLM_{name}", "SENTINEL")
    settings = Settings()
    assert "SENTINEL" not in repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("LLM_PORT", "http")
    _, everything = failure()
    assert "SENTINEL" not in everything


def test_one_body_must_fit_the_memory_for_all() -> None:
    with pytest.raises(ValueError, match="LLM_MAX_TOTAL_BODY_BYTES must be at least"):
        Settings(max_body_bytes=10**8)
