"""Writes Grafana's two dashboards from the tables here: `make grafana`.

A test holds grafana/dashboards to what this writes, and another runs each query of theirs
against a running service.
"""

import json
from pathlib import Path

from grafana.engine import ENGINE
from grafana.service import SERVICE

FOLDER = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    return {
        FOLDER / f"{name}.json": json.dumps(dashboard, indent=2) + "\n"
        for name, dashboard in (("service", SERVICE), ("engine", ENGINE))
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
