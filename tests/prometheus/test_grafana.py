"""What Grafana is given: the files fit each other, the scrape interval and the stack."""

import json
from itertools import combinations
from typing import Any

import pytest
import yaml

from grafana.build import files
from grafana.parts import DATASOURCE
from tests.prometheus.test_rules import CONFIG, ROOT

DASHBOARDS: list[dict[str, Any]] = [json.loads(text) for text in files().values()]
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


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )
