"""The rules, as promtool sees them: sound, and each alert fires when it should and only then."""

import json
import re
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_service.api.alerts import read_runbooks
from llm_service.observability.alerts import BURN_WINDOWS, OBJECTIVES
from llm_service.observability.expressions import JOB
from tests.prometheus.cases import CASES, Case

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "prometheus" / "prometheus.yml"
ALERT_FILE = ROOT / "prometheus" / "rules" / "alerts.yml"
# What is recorded first, so that an alert sees it at once.
RULE_FILES = [ROOT / "prometheus" / "rules" / "objectives.yml", ALERT_FILE]


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)


def groups(*files: Path) -> list[dict[str, Any]]:
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def rules(kind: str) -> list[dict[str, Any]]:
    return [rule for group in groups(*RULE_FILES) for rule in group["rules"] if kind in rule]


ALERTS = rules("alert")


def as_group(case: Case) -> dict[str, Any]:
    """The case as one of promtool's test groups."""
    state = f'ALERTS{{alertname="{case.alert}",severity="{case.severity}",alertstate="firing"}}'
    at = f"{round(case.minutes * 60)}s"
    fires = case.says is not None
    group: dict[str, Any] = {
        "name": f"{case.alert}: {case.because}",
        "interval": case.step,
        "input_series": [
            {"series": series, "values": values} for series, values in case.series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"count({state})",
                "eval_time": at,
                "exp_samples": [{"value": 1}] if fires else [],
            }
        ],
    }
    if fires:
        expected = [as_alert(case, rule) for rule in ALERTS if is_firing(case, rule)]
        group["alert_rule_test"] = [
            {"eval_time": at, "alertname": case.alert, "exp_alerts": expected}
        ]
    return group


def is_firing(case: Case, rule: dict[str, Any]) -> bool:
    # What burns fast enough for a page is a ticket as well.
    severities = {case.severity, "ticket"} if case.is_burn else {case.severity}
    return rule["alert"] == case.alert and rule["labels"]["severity"] in severities


def as_alert(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    values = {"job": "llm_service", "instance": "one", "key_name": "ada"}
    labels = {**rule["labels"], **{name: values[name] for name in case.labels}}
    annotations = {**rule["annotations"], "description": case.says}
    return {"exp_labels": labels, "exp_annotations": annotations}


def run(folder: Path, cases: list[Case]) -> subprocess.CompletedProcess[str]:
    files = []
    for interval in sorted({case.evaluation for case in cases}):
        files.append(folder / f"every_{interval}.yml")  # JSON is YAML
        rule_files = [ALERT_FILE] if interval == "15s" else RULE_FILES
        content = {
            "rule_files": [str(file) for file in rule_files],
            "group_eval_order": [group["name"] for group in groups(*rule_files)],
            "evaluation_interval": interval,
            "tests": [as_group(case) for case in cases if case.evaluation == interval],
        }
        files[-1].write_text(json.dumps(content))
    return promtool("test", "rules", *files)


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    config = promtool("check", "config", "--syntax-only", "--lint=all", "--lint-fatal", CONFIG)
    assert config.returncode == 0, config.stderr
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert checked.returncode == 0, checked.stderr


def test_each_alert_fires_when_it_should_and_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, [case for case in CASES if case.says is not None])
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_alert_fires_when_all_is_well_or_just_under(tmp_path: Path) -> None:
    result = run(tmp_path, [case for case in CASES if case.says is None])
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_would_notice_an_alert_that_does_not_fire(tmp_path: Path) -> None:
    (quiet, *_) = (case for case in CASES if case.alert == "NotReady" and case.says is None)
    wrong = Case(quiet.alert, "", quiet.series, quiet.minutes, "It is not ready.")
    assert run(tmp_path, [wrong]).returncode != 0


def test_every_alert_has_a_case_that_fires_one_that_does_not_and_one_just_under() -> None:
    fires, does_not = Counter[str](), Counter[str]()
    for case in CASES:
        (does_not if case.says is None else fires)[case.alert] += 1
    names = {rule["alert"] for rule in ALERTS}
    assert fires.keys() == does_not.keys() == names
    assert min(does_not.values()) >= 2
    severities = {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}
    assert {(case.alert, case.severity) for case in CASES} == severities


def test_every_alert_says_what_it_means_and_where_its_runbook_is() -> None:
    for rule in ALERTS:
        annotations = rule["annotations"]
        assert annotations.keys() == {"summary", "description", "runbook_url"}, rule["alert"]
        assert "{{" not in annotations["summary"], "an inactive rule shows it as it is"
        assert annotations["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert set(read_runbooks()) == {rule["alert"].lower() for rule in ALERTS}
    for name, text in read_runbooks().items():
        for part in ("**Means.**", "**Confirm.**", "**Do.**"):
            assert part in text, f"{name} lacks {part}"


def test_the_queries_and_commands_of_the_runbooks_are_sound(tmp_path: Path) -> None:
    text = "\n".join(read_runbooks().values())
    queries = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    recorded = [{"record": f"doc:query:{i}", "expr": query} for i, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "runbooks", "rules": recorded}]}))
    checked = promtool("check", "rules", path)
    assert len(queries) >= len(read_runbooks())
    assert checked.returncode == 0, checked.stderr


def test_the_windows_of_an_objective_differ_in_nothing_else() -> None:
    by_shape = defaultdict[str, set[str]](set)
    for rule in rules("record"):
        window = re.search(r"(?:rate|increase)(\d+[mhd])$", rule["record"])
        assert window is not None, rule["record"]
        shape = rule["expr"].replace(window[1], "W")
        by_shape[rule["record"].removesuffix(window[1])].add(re.sub(r"\* \d+$", "* N", shape))
    assert {name: len(shapes) for name, shapes in by_shape.items()} == dict.fromkeys(by_shape, 1)


def test_the_service_asks_for_series_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    for objective in OBJECTIVES:
        for window in (*BURN_WINDOWS, "7d"):
            assert f"{objective.burn_rate}{window}" in recorded
        assert f"{objective.counted}7d" in recorded


def test_the_job_has_the_name_that_every_query_asks_for() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    assert [job["job_name"] for job in config["scrape_configs"]] == [JOB, "prometheus"]


@pytest.mark.parametrize("name", ["llm_service", "/run/secrets/llm/metrics_token"])
def test_the_configuration_uses_the_names_of_the_stack(name: str) -> None:
    assert name in CONFIG.read_text()
