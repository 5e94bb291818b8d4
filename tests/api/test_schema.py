"""Requests made from the OpenAPI schema: whatever they hold, never a 5xx.

Takes minutes, so `make fuzz` runs it and `make test` does not.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ADMIN_KEY, RunningService

pytestmark = pytest.mark.slow

CASES_PER_OPERATION = 350


def test_2000_cases_from_the_schema_get_no_5xx(tmp_path: Path) -> None:
    report = tmp_path / "report.ndjson"
    # A short context keeps the answers short.
    with RunningService(tmp_path / "state", max_context=64) as service:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{service.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {ADMIN_KEY}"),
            *("--checks", "not_a_server_error", "--phases", "fuzzing", "--mode", "all"),
            *("--max-examples", str(CASES_PER_OPERATION), "--seed", "1", "--no-color"),
            *("--report", "ndjson", "--report-ndjson-path", str(report)),
        ]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:]
    events = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    statuses = _statuses(events)
    assert len(statuses) >= 2000
    assert max(statuses) < 500
    assert 200 in statuses


def _statuses(events: list[dict[str, object]]) -> list[int]:
    found: list[int] = []

    def visit(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("status_code"), int):
                found.append(value["status_code"])
            for child in value.values():
                visit(child)
        elif isinstance(value, list):
            for child in value:
                visit(child)

    visit(events)
    return found
