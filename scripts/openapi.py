"""Writes the service's OpenAPI schema, from which the dashboard's types are generated."""

import json
from pathlib import Path

from llm_service.app import create_app
from llm_service.config import Settings

FILE = Path(__file__).parent.parent / "dashboard" / "src" / "api" / "openapi.json"


def schema() -> str:
    """Return the schema. It does not depend on settings, and starts or opens nothing."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(schema(), encoding="utf-8")
