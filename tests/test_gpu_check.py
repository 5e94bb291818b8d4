"""`python -m scripts.gpu_check`, as far as a CPU goes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.gpu_check import __main__ as program
from scripts.gpu_check import attention, speed
from scripts.gpu_check.part import Failed, Part, Skipped

ROOT = Path(__file__).parents[1]


def test_a_wrong_answer_fails_its_row_and_the_command_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "record.json"
    options = (
        "--device cpu --shapes tiny --only exactness --architectures unknown qwen2"
        f" --minutes 40 --out {out}"
    )
    process = subprocess.run(
        [sys.executable, "-m", "scripts.gpu_check", *options.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1, process.stderr
    record = json.loads(out.read_text())
    assert record["machine"]["packages"]["torch"] == torch.__version__
    statuses = {row["name"]: row["status"] for row in record["rows"]}
    assert statuses == {
        "unknown equals generate": "failed",
        "qwen2 equals generate": "passed",
        "attention in bf16": "passed",
        "draws equal the CPU's": "passed",
    }
    for name in statuses:
        assert name in process.stdout


@pytest.fixture
def part(tmp_path: Path) -> Part:
    """Ten seconds are left."""
    deadline = time.monotonic() + 10
    return Part("p", torch.device("cpu"), False, (), deadline, tmp_path / "rows.jsonl")


def rows(part: Part) -> list[dict[str, Any]]:
    return [json.loads(line) for line in part.rows.read_text().splitlines()]


def test_a_row_says_what_became_of_its_check(part: Part) -> None:
    def fails() -> dict[str, Any]:
        raise Failed("1 is not 2", {"tokens": 4})

    def breaks() -> dict[str, Any]:
        raise RuntimeError("CUDA error: device lost\nand more")

    def is_skipped() -> dict[str, Any]:
        raise Skipped("no GPU")

    part.check("holds", lambda: {"tokens": 3})
    for body in (fails, breaks, is_skipped):
        part.check(body.__name__, body)
    part.check("is too long", dict, needs_seconds=60)
    found = [(row["name"], row["status"], row["detail"]) for row in rows(part)]
    assert found[:4] == [
        ("holds", "passed", ""),
        ("fails", "failed", "1 is not 2"),
        ("breaks", "failed", "RuntimeError: CUDA error: device lost"),
        ("is_skipped", "skipped", "no GPU"),
    ]
    assert found[4][:2] == ("is too long", "skipped")
    assert [row["figures"] for row in rows(part)] == [{"tokens": 3}, {"tokens": 4}, {}, {}, {}]


def test_attention_that_is_less_exact_than_it_must_be_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attention.compare(torch.device("cpu"), [40])
    monkeypatch.setattr(attention, "_TOLERANCE", 1e-6)
    with pytest.raises(Failed, match="40 positions"):
        attention.compare(torch.device("cpu"), [40])


def test_a_part_for_which_no_time_is_left_is_skipped(tmp_path: Path) -> None:
    options = program._options(["--device", "cpu"])
    (row,) = program._part("speed", 3.0, options, None, tmp_path / "rows")
    assert (row["part"], row["status"]) == ("speed", "skipped")


def test_memory_that_was_foreseen_wrongly_is_told() -> None:
    predicted = {"weights": 1000, "kv_cache": 500, "workspace": 100}

    def problem(weights: int, peak: int) -> str:
        measured = {"weights": weights, "peak": peak}
        return speed._problem({"predicted": predicted, "measured": measured})

    assert problem(1040, 1600) == ""
    assert "weights take" in problem(1060, 1600)
    assert "weights take" in problem(940, 1600)
    assert "the peak is" in problem(1000, 1601)
