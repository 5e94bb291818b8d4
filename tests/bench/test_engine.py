"""`llm-service bench engine` on the bundled model: figures add up, refusals are in words."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_service.__main__ import app
from llm_service.bench.engine import Bench, Phase
from llm_service.bench.prompts import Prompts
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.config import EngineConfig

SMALL = ("--repeat", "2", "--output-tokens", "8", "--prompt-tokens", "20")


def bench(*arguments: str, **settings: str) -> Result:
    return CliRunner().invoke(app, ["bench", "engine", *arguments], env=settings)


def record(tmp_path: Path, *arguments: str, **settings: str) -> Any:
    file = tmp_path / "result.json"
    result = bench(*SMALL, *arguments, "--json", str(file), **settings)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    file = tmp_path_factory.mktemp("bench") / "result.json"
    options = ("--sequences", "1,3", "--prompts", "30,600", "--json", str(file))
    result = bench(*SMALL, *options)
    assert result.exit_code == 0, result.output
    return result.stdout, json.loads(file.read_text())


def test_there_is_a_row_for_each_phase_in_the_table_and_in_json(measured: tuple[str, Any]) -> None:
    table, found = measured
    rows = re.findall(r"(?m)^ *(decode|prefill) +(\d+) +(\d+) ", table)
    assert rows == [
        ("decode", "1", "20"),
        ("decode", "3", "20"),
        ("prefill", "1", "30"),
        ("prefill", "1", "600"),
    ]
    assert rows == [
        (p["kind"], str(p["num_sequences"]), str(p["prompt_tokens"])) for p in found["phases"]
    ]
    assert all(len(phase["repetitions"]) == 2 for phase in found["phases"])


def test_each_step_that_decodes_gives_each_sequence_a_token_and_prompts_are_read_whole(
    measured: tuple[str, Any],
) -> None:
    for phase in measured[1]["phases"]:
        for figures in phase["repetitions"]:
            if phase["kind"] == "decode":
                assert figures["num_steps"] == 7  # the first token is the prefill's
                assert figures["num_tokens"] == 7 * phase["num_sequences"]
            else:
                assert figures["num_tokens"] == phase["prompt_tokens"]
                assert figures["num_steps"] == -(-phase["prompt_tokens"] // 512)


def test_what_is_in_the_model_and_what_is_not_add_up_to_the_step(measured: tuple[str, Any]) -> None:
    for phase in measured[1]["phases"]:
        for figures in phase["repetitions"]:
            parts = [figures[f"{name}_seconds"] for name in ("before", "forward", "after")]
            assert all(part > 0 for part in parts)
            assert sum(parts) == pytest.approx(figures["step_seconds"])
            outside = 1 - parts[1] / figures["step_seconds"]
            assert figures["outside_share"] == pytest.approx(outside)
            seconds = figures["step_seconds"] * figures["num_steps"]
            assert figures["tokens_per_s"] == pytest.approx(figures["num_tokens"] / seconds)


def test_the_engine_and_the_reason_for_its_quantization_are_told(measured: tuple[str, Any]) -> None:
    table, found = measured
    assert "quantization none (it has fewer than 100 M weights)" in table
    assert found["engine"]["model_id"] == "pocket"
    assert found["engine"]["weights_bytes"] > 0
    assert found["engine"]["kv_cache_bytes"] > 0
    assert found["engine"]["load_seconds"] > 0
    assert found["options"]["speculation"] == "none"
    assert found["machine"]["cores"] > 0


def test_settings_of_the_environment_switch_parts_off(tmp_path: Path) -> None:
    options = ("--sequences", "1", "--prompts", "", "--quantization", "8bit")
    found = record(
        tmp_path, *options, LLM_KERNELS="none", LLM_PREFIX_CACHE="false", LLM_THREADS="1"
    )
    assert [phase["kind"] for phase in found["phases"]] == ["decode"]
    engine = found["engine"]
    assert (engine["quantization"], engine["kernels"], engine["threads"]) == ("8bit", None, 1)
    assert engine["has_prefix_cache"] is False
    assert engine["why_quantization"] == "as asked"


def test_tokens_are_sampled_where_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Sequence] = []
    make = Bench._sequence

    def make_and_keep(*arguments: Any) -> Sequence:
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(Bench, "_sequence", make_and_keep)

    def answer(*options: str) -> list[int]:
        record(tmp_path, "--sequences", "1", "--prompts", "", "--seed", "1", *options)
        return made[-1].token_ids

    greedy = answer()
    assert answer() == greedy
    assert answer("--temperature", "2", "--top-p", "0.000001") == greedy
    sampled = answer("--temperature", "2")
    assert sampled[:20] == greedy[:20]  # the prompt
    assert sampled[20:] != greedy[20:]


def test_tokens_are_guessed_where_asked_for(tmp_path: Path) -> None:
    options = ("--sequences", "1", "--prompts", "", "--output-tokens", "300", "--seed", "1")
    for speculation, guesses in (("none", False), ("prompt_lookup", True)):
        found = record(tmp_path, *options, LLM_SPECULATION=speculation)
        for figures in found["phases"][0]["repetitions"]:
            assert figures["num_tokens"] == 299
            assert (figures["num_steps"] < 299) is guesses


def test_guessing_takes_fewer_steps_than_there_are_tokens() -> None:
    engine = Bench.load(EngineConfig(), lambda line: None)
    phase = Phase("decode", 1, 64, 200)
    (result,) = engine.measure([phase], 1, Prompts(1, ["time time"]))
    (figures,) = result.repetitions
    assert figures["num_tokens"] == 199
    assert figures["num_steps"] < 199


def test_a_default_that_does_not_fit_is_left_out_in_words(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    options = ("--prompts", "", "--output-tokens", "4", "--repeat", "1", "--json", str(file))
    result = bench(*options, LLM_MAX_BATCH_SIZE="4")
    assert result.exit_code == 0, result.output
    assert "Left out: 16 sequences are more than the 4" in result.stderr
    measured = json.loads(file.read_text())["phases"]
    assert [phase["num_sequences"] for phase in measured] == [1, 4]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--model", "no-such-model"), 1, "no-such-model"),
        (("--quantization", "3bit"), 2, "--quantization takes"),
        (("--speculation", "magic"), 2, "--speculation takes"),
        (("--top-p", "0"), 2, "--top-p takes"),
        (("--sequences", "1,x"), 2, "--sequences takes numbers"),
        (("--sequences", "", "--prompts", ""), 2, "nothing to measure"),
        (("--json", "no/such/folder.json"), 1, "no such folder"),
        (
            ("--sequences", "1", "--prompts", "2048"),
            1,
            "2048 prompt and 1 output tokens are more than the 2048",
        ),
        (("--sequences", "300"), 1, "LLM_MAX_BATCH_SIZE"),
        (
            ("--sequences", "4", "--prompts", "", "--prompt-tokens", "600", "--output-tokens", "2"),
            1,
            "raise --output-tokens",
        ),
    ],
)
def test_what_cannot_be_measured_ends_in_words(
    options: tuple[str, ...], code: int, words: str
) -> None:
    result = bench(*options)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"LLM_ENGINE": "sequential"}, 1, "only the batched engine has steps"),
        ({"LLM_BLOCK_SIZE": "0"}, 2, "LLM_BLOCK_SIZE"),
        ({"LLM_KV_CACHE_BYTES": "2000000"}, 1, "raise LLM_KV_CACHE_BYTES"),
    ],
)
def test_settings_with_which_nothing_can_be_measured_are_told(
    settings: dict[str, str], code: int, words: str
) -> None:
    result = bench("--sequences", "4", "--prompts", "", **settings)
    assert result.exit_code == code
    assert words in result.stderr
    assert "Traceback" not in result.output
