"""What rounding costs, measured on the bundled model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llm_service.__main__ import app
from llm_service.bench import BenchError, quality
from llm_service.bench.quality import Quality
from llm_service.engine.config import Quantization
from llm_service.engine.kernels.build import usable_instruction_sets
from llm_service.machine import Machine


def measure(
    schemes: list[Quantization], text: str | None = None, tokens: int = 4000
) -> list[Quality]:
    return quality.measure("pocket", schemes, text, tokens, lambda line: None)


@pytest.fixture(scope="module")
def on_answers() -> list[Quality]:
    return measure(["none", "8bit", "4bit"])


@pytest.mark.parametrize("is_bfloat16_fast", [False, True])
def test_weights_that_the_kernels_read_as_stored_lose_nothing_on_any_cpu(
    monkeypatch: pytest.MonkeyPatch, is_bfloat16_fast: bool
) -> None:
    if usable_instruction_sets(Machine.detect().cpu_flags)[0] == "portable":
        pytest.skip("torch computes on this CPU, in the type that is fastest")
    monkeypatch.setattr(Machine, "is_bfloat16_fast", is_bfloat16_fast)
    reference, kept = measure(["none"], tokens=200)
    assert (reference.quantization, kept.quantization) == ("float32", "none")
    assert kept.agreement == reference.agreement == 1
    assert kept.kl_divergence < 1e-9
    assert kept.perplexity == pytest.approx(reference.perplexity, rel=1e-5)


def test_8_bits_agree_with_float32_in_99_of_100_tokens(on_answers: list[Quality]) -> None:
    eight = on_answers[2]
    assert eight.num_tokens > 300
    assert eight.agreement >= 0.99
    assert 0 < eight.kl_divergence < 0.01


def test_4_bits_cost_more_and_take_less(on_answers: list[Quality]) -> None:
    _, _, eight, four = on_answers
    assert four.weights_bytes < eight.weights_bytes
    assert eight.kl_divergence < four.kl_divergence < 0.1
    assert four.agreement > 0.95


def test_a_given_text_is_read_in_windows_up_to_the_wanted_length() -> None:
    text = "My name is Ada. I live in a small town by the sea. " * 60
    reference, eight = measure(["8bit"], text, tokens=700)
    assert reference.num_tokens == eight.num_tokens == 700
    assert reference.perplexity > 1
    assert reference.perplexity == pytest.approx(eight.perplexity, rel=0.2)


def test_a_text_without_a_token_to_predict_is_refused() -> None:
    with pytest.raises(BenchError, match="too short"):
        measure(["8bit"], "a")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", "quality", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "quality.json"
    code, table, _ = run("--schemes", "8bit", "--tokens", "50", "--json", str(file))
    assert code == 0
    assert [line.split()[0] for line in table.splitlines()[1:3]] == ["float32", "8bit"]
    found = json.loads(file.read_text())
    assert found["model"] == "pocket"
    assert [q["num_tokens"] for q in found["qualities"]] == [50, 50]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--schemes", "3bit"), 2, "3bit"),
        (("no-such-model",), 1, "no-such-model"),
        (("--text", "no-such-file"), 1, "no-such-file"),
    ],
)
def test_what_cannot_be_measured_ends_in_words(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    exit_code, _, errors = run(*arguments)
    assert exit_code == code
    assert words in errors
    assert "Traceback" not in errors
