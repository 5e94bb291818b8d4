"""The paper says what the records say, and nothing that no record says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import paper, versus
from benchmarks.versus import RESULTS


def record(ours: str = "llm_service", theirs: str = "llama_cpp", **changes: Any) -> dict[str, Any]:
    def turn(contender: int, decode: float, memory: float) -> dict[str, Any]:
        figures = {"decode_1": {"value": decode}, "memory": {"value": memory}}
        return {
            "contender": contender,
            "load_average": 0.1,
            "figures": figures | {"machine": {"read_bandwidths": {"1": 40e9, "2": 50e9}}},
        }

    return {
        "created": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "a processor", "cores": 2, "kernel": "Linux 6"},
        "threads": 2,
        "checkpoint": "qwen2.5-0.5b",
        "is_quiet": True,
        "contenders": [
            {"name": ours, "version": "1", "scheme": "8bit"},
            {"name": theirs, "version": "2", "scheme": "q8_0"},
        ],
        "turns": [turn(0, 60, 1.0), turn(1, 40, 2.0), turn(0, 90, 1.0), turn(1, 45, 2.0)],
        **changes,
    }


def test_the_paper_is_what_the_records_make_of_it() -> None:
    text = paper.PAPER.read_text(encoding="utf-8")
    records = paper.read_records(RESULTS)
    assert paper.filled(text, paper.regions(records, paper.read_grammars())) == text, (
        "run: make paper"
    )


def test_every_plot_was_drawn_from_its_record_as_it_is() -> None:
    records = {paper.plot_name(each): each for each in paper.read_records(RESULTS)}
    plots = {path.name: path.read_text(encoding="utf-8") for path in paper.PLOTS.glob("*.svg")}
    assert plots.keys() == records.keys(), "run: make paper"
    for name, text in plots.items():
        assert paper.digest(records[name]) in text, f"{name} is of an older record: run make paper"
        assert all(versus.label(each) in text for each in records[name]["contenders"])


def test_no_measured_number_stands_outside_the_regions() -> None:
    text = paper.PAPER.read_text(encoding="utf-8")
    words = re.sub(r"<!-- begin (\S+) -->.*?<!-- end \1 -->", "", text, flags=re.DOTALL)
    number = r"\d[\d.,]*\s?(?:tok/s|tokens per second|[GM]i?B/s|[GM]i?B\b|ms\b|s\b|%|times\b)"
    assert re.findall(number, words) == []


def test_a_table_pairs_ratios_by_repetition_and_shows_the_spread() -> None:
    text = paper.regions([record()])["qwen2.5-0.5b"]
    assert "| decode, 1 stream, tok/s | 75 (60-90) | 42.5 (40-45) | 1.75 (1.50-2.00) |" in text
    assert "| peak anonymous memory, GB | 1 (1-1) | 2 (2-2) | 0.50 (0.50-0.50) |" in text
    assert "a processor, 2 cores, 2 threads, Linux 6, 2026-01-02" in text
    assert "2 repetitions; memory read at 50-50 GB/s" in text


def test_only_what_was_measured_on_a_quiet_machine_is_shown(tmp_path: Path) -> None:
    (tmp_path / "loud.json").write_text(json.dumps(record(is_quiet=False)))
    assert paper.read_records(tmp_path) == []
    (tmp_path / "quiet.json").write_text(json.dumps(record()))
    assert paper.read_records(tmp_path) == [record()]


def test_the_service_against_itself_is_an_ablation() -> None:
    texts = paper.regions([record(theirs="llm_service")])
    assert texts.keys() == {"ablations"}
    assert "decode, 1 stream" in texts["ablations"]


def test_the_same_record_is_drawn_as_the_same_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    paper.draw(record(), one)
    paper.draw(record(), other)
    assert one.read_bytes() == other.read_bytes()
    assert paper.digest(record()) in one.read_text()


def test_a_paper_that_lacks_a_region_is_not_written() -> None:
    text = "<!-- begin one -->\nold\n<!-- end one -->\n"
    assert paper.filled(text, {"one": "new"}) == "<!-- begin one -->\nnew\n<!-- end one -->\n"
    with pytest.raises(ValueError, match="regions"):
        paper.filled(text, {"one": "new", "two": "new"})
    with pytest.raises(ValueError, match="no end"):
        paper.filled("<!-- begin one -->\n", {"one": "new"})
