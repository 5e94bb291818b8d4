"""The OpenAPI schema, from which the dashboard's types are made."""

import json
from typing import Any

import pytest

from scripts import openapi


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(openapi.schema())
    return made


def test_the_committed_schema_is_the_services_own() -> None:
    committed = openapi.FILE.read_text(encoding="utf-8")
    assert committed == openapi.schema(), "run `make openapi`"


def test_every_answer_of_the_dashboards_routes_has_a_shape(schema: dict[str, Any]) -> None:
    operations = [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        if path.startswith("/api/")
        for method, operation in methods.items()
    ]
    assert len(operations) >= 10
    for path, method, operation in operations:
        answers = operation["responses"]
        (success,) = [code for code in answers if code.startswith("2")]
        for code in (success, "default", "401", "403"):
            shape = answers[code]["content"]["application/json"]["schema"]
            assert all("$ref" in each for each in shape.get("anyOf", [shape])), (
                f"{method} {path} {code}"
            )


def test_what_is_in_every_answer_is_not_optional_in_the_schema(schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    for name in ("RequestRecord", "RunningOut", "KeyOut", "KeyWithSecret", "StatusOut"):
        assert set(shapes[name]["properties"]) == set(shapes[name]["required"]), name
