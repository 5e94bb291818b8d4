"""What Grafana is given: the files fit each other, the scrape interval and the stack."""

import json
import re
from collections.abc import Iterator
from enum import EnumType
from itertools import combinations
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.build import files
from grafana.parts import DATASOURCE
from tests.prometheus.test_rules import CONFIG, ROOT

DASHBOARDS: list[dict[str, Any]] = [json.loads(text) for text in files().values()]
# Fields that Grafana hands on to the Prometheus plugin, so that its schema does not name them.
OF_THE_PLUGIN = {
    "annotations.list.titleFormat",
    "annotations.list.textFormat",
    "annotations.list.step",
}
PROVISIONING = ROOT / "grafana" / "provisioning"


def provisioned(kind: str) -> dict[str, Any]:
    (file,) = (PROVISIONING / kind).glob("*.yml")
    (entry,) = yaml.safe_load(file.read_text())[kind if kind == "datasources" else "providers"]
    return dict(entry)


def test_the_dashboards_are_what_their_tables_say() -> None:
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, "run make grafana"


def test_the_datasource_has_the_uid_that_is_asked_for_and_the_scrape_interval() -> None:
    datasource = provisioned("datasources")
    assert datasource["uid"] == DATASOURCE["uid"]
    interval = yaml.safe_load(CONFIG.read_text())["global"]["scrape_interval"]
    assert datasource["jsonData"]["timeInterval"] == interval


def test_dashboards_are_provisioned_as_read_only_from_where_the_stack_puts_them() -> None:
    provider = provisioned("dashboards")
    assert provider["allowUiUpdates"] is False
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"][
        "volumes"
    ]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in volumes
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in volumes


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_panels_have_words_a_unit_and_a_place_of_their_own(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        if panel["type"] in ("stat", "timeseries"):
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["targets"], panel["title"]
            assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])
def test_grafanas_own_schema_knows_every_field_and_value(dashboard: dict[str, Any]) -> None:
    assert set(unknown(dashboard)) - OF_THE_PLUGIN == set()


def test_a_misspelled_option_and_a_value_that_grafana_lacks_are_found() -> None:
    chart = {"type": "timeseries", "options": {"tooltip": {"mode": "multi", "sorting": "desc"}}}
    assert unknown({"panels": [chart]}) == ["panels.options.tooltip.sorting"]
    chart["options"] = {"tooltip": {"mode": "several", "sort": "desc"}}
    assert unknown({"panels": [chart]}) == ["TooltipDisplayMode: several"]


def test_the_schema_is_that_of_the_stacks_grafana() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    version = compose["services"]["grafana"]["image"].split(":")[1]
    pins = (ROOT / "requirements-dev.txt").read_text()
    assert re.search(rf"^grafana-foundation-sdk==\d+!{re.escape(version)}$", pins, re.MULTILINE)


def unknown(dashboard: dict[str, Any]) -> list[str]:
    """The fields that Grafana's typed library does not keep, and values that its types lack."""
    register_default_plugins()
    typed = Dashboard.from_json(dashboard)
    kept = json.loads(json.dumps(typed, cls=JSONEncoder))
    return [*missing(dashboard, kept), *wrong_values(typed)]


def wrong_values(typed: object) -> Iterator[str]:
    """The values that their enumerations lack, anywhere in an object of the library."""
    if isinstance(typed, list | dict):
        for part in typed.values() if isinstance(typed, dict) else typed:
            yield from wrong_values(part)
    elif hasattr(typed, "to_json"):
        for name, hint in get_type_hints(type(typed).__init__).items():
            value = getattr(typed, name, None)
            yield from wrong_values(value)
            for kind in get_args(hint):
                if isinstance(kind, EnumType) and value not in (None, *kind):
                    yield f"{kind.__name__}: {value}"


def missing(whole: Any, part: Any, path: str = "") -> Iterator[str]:
    """The paths of what `whole` has and `part` lacks, or has with another value."""
    if isinstance(whole, dict) and isinstance(part, dict):
        for name, value in whole.items():
            yield from missing(value, part.get(name), f"{path}.{name}".removeprefix("."))
    elif isinstance(whole, list) and isinstance(part, list) and len(whole) == len(part):
        for one, other in zip(whole, part, strict=True):
            yield from missing(one, other, path)
    elif whole != part:
        yield path


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )
