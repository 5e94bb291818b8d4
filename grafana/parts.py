"""What Grafana's dashboards are made of: panels of each kind, in the JSON that Grafana reads.

Knows no metric of ours by name.
"""

from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
GOOD, WARN, BAD = "green", "orange", "red"
# The same thing has the same colour on every chart: by the legend, or by what it stands for.
PHASES = {"queue": "orange", "prefill": "blue", "decode": "green"}
PALETTE = {
    **{name: {name: color} for name, color in PHASES.items()},
    "{{phase}}": PHASES,
    "{{outcome}}": {
        "stop": "green",
        "length": "blue",
        "tool_calls": "purple",
        "cancelled": "#8e8e8e",
        "timeout": "orange",
        "error": "red",
        "rejected": "yellow",
    },
    "limit": {"limit": "red"},
    "capacity": {"capacity": "red"},
    "slots": {"slots": "#8e8e8e"},
    "p50": {"p50": "green"},
    "p95": {"p95": "orange"},
    "p99": {"p99": "red"},
}
Query = tuple[str, str]  # PromQL and legend


def targets(queries: list[Query], *, instant: bool = False, heatmap: bool = False) -> list[Json]:
    return [
        {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expr,
            "legendFormat": legend,
            "refId": chr(ord("A") + number),
            "range": not instant,
            "instant": instant,
            "format": "heatmap" if heatmap else "time_series",
        }
        for number, (expr, legend) in enumerate(queries)
    ]


def steps(*bounds: tuple[str, float | None]) -> Json:
    """Thresholds: a colour from each bound on."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for color, value in bounds],
    }


def _panel(kind: str, title: str, says: str, queries: list[Json], size: tuple[int, int]) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": DATASOURCE,
        "targets": queries,
        "gridPos": {"w": size[0], "h": size[1]},
    }


def stat(
    title: str,
    unit: str,
    query: str,
    says: str,
    thresholds: Json,
    *,
    lowest: float | None = 0,
    **defaults: Any,
) -> Json:
    """One number with its recent course."""
    panel = _panel("stat", title, says, targets([(query, title)]), (4, 4))
    panel["fieldConfig"] = {
        "defaults": {
            "unit": unit,
            "noValue": "no traffic",
            "color": {"mode": "thresholds"},
            "thresholds": thresholds,
            **({} if lowest is None else {"min": lowest}),
            **defaults,
        },
        "overrides": [],
    }
    panel["options"] = {
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "justifyMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel


def chart(
    title: str,
    unit: str,
    queries: list[Query],
    says: str,
    *,
    stacked: bool = False,
    line_at: float | None = None,
    width: int = 8,
    lowest: float | None = 0,
) -> Json:
    """Lines over time; `line_at` draws the bound that should not be exceeded."""
    panel = _panel("timeseries", title, says, targets(queries), (width, 8))
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "gradientMode": "none" if stacked else "opacity",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    thresholds = steps((GOOD, None))
    if line_at is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        thresholds = steps(("transparent", None), (BAD, line_at))
    defaults: Json = {"unit": unit, "custom": custom, "thresholds": thresholds}
    defaults["color"] = {"mode": "palette-classic"}
    if lowest is not None:
        defaults["min"] = lowest
    panel["fieldConfig"] = {"defaults": defaults, "overrides": _colors(queries)}
    panel["options"] = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["mean", "max", "lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def heatmap(title: str, unit: str, query: str, says: str, *, width: int = 12) -> Json:
    """How many observations fell into each bucket."""
    panel = _panel("heatmap", title, says, targets([(query, "{{le}}")], heatmap=True), (width, 9))
    panel["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    panel["fieldConfig"] = {"defaults": {}, "overrides": []}
    return panel


def table(title: str, query: str, says: str, *, width: int = 12) -> Json:
    """The labels of the series, a row each."""
    queries = targets([(query, "")], instant=True)
    queries[0]["format"] = "table"
    panel = _panel("table", title, says, queries, (width, 6))
    panel["fieldConfig"] = {"defaults": {"custom": {"align": "auto"}}, "overrides": []}
    panel["options"] = {"showHeader": True, "cellHeight": "sm"}
    exclude = dict.fromkeys(["Time", "Value", "__name__", "job"], True)
    panel["transformations"] = [{"id": "organize", "options": {"excludeByName": exclude}}]
    return panel


def _colors(queries: list[Query]) -> list[Json]:
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for _, legend in queries
        for name, color in PALETTE.get(legend, {}).items()
    ]


def dashboard(uid: str, title: str, says: str, rows: list[tuple[str, list[Json]]]) -> Json:
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["llm_service"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "llm_service",
                "type": "dashboards",
                "tags": ["llm_service"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": [_alerts()]},
        "templating": {
            "list": [
                _variable("instance", 'label_values(up{job="llm_service"}, instance)'),
                _variable("model", 'label_values(llm_slots{job="llm_service"}, model)'),
            ]
        },
        "panels": _laid_out(rows),
    }


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def _alerts() -> Json:
    return {
        "name": "Alerts",
        "enable": True,
        "datasource": DATASOURCE,
        "expr": 'ALERTS{alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "iconColor": BAD,
        "step": "15s",
    }


def _laid_out(rows: list[tuple[str, list[Json]]]) -> list[Json]:
    """Panels from left to right, 24 columns wide, each row under its title."""
    placed: list[Json] = []
    y = 0
    for title, panels in rows:
        position = {"x": 0, "y": y, "w": 24, "h": 1}
        placed.append({"type": "row", "title": title, "collapsed": False, "gridPos": position})
        placed[-1]["panels"] = []
        x, y, height = 0, y + 1, 0
        for panel in panels:
            width = panel["gridPos"]["w"]
            if x + width > 24:
                x, y, height = 0, y + height, 0
            panel["gridPos"] |= {"x": x, "y": y}
            x, height = x + width, max(height, panel["gridPos"]["h"])
            placed.append(panel)
        y += height
    for number, panel in enumerate(placed, start=1):
        panel["id"] = number
    return placed
