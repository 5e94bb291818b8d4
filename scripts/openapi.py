"""Writes the service's OpenAPI schema to where the dashboard's types are generated from."""

import json
from pathlib import Path

from llm_service.app import create_app
from llm_service.config import Settings

FILE = Path(__file__).parent.parent / "dashboard" / "src" / "api" / "openapi.json"


def schema() -> str:
    """The same for the same code, whatever the settings: nothing is started or opened."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(schema(), encoding="utf-8")
