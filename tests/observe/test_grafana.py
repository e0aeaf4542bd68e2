"""docs/grafana.json: a dashboard that asks for nothing that is not exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pyloader.observe import METRICS

DASHBOARD = json.loads((Path(__file__).resolve().parents[2] / "docs" / "grafana.json").read_text())
EXPORTED = {f"pyloader_{name}{'_total' if metric.grows else ''}" for name, metric in METRICS.items()}


def asked():
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    yield from (variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")


def test_each_name_of_the_dashboard_is_exported():
    assert {name for expression in asked() for name in re.findall(r"pyloader_\w+", expression)} <= EXPORTED


def test_each_number_that_grows_is_asked_for_by_its_rate_and_no_other_is():
    for expression in (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]):
        for before, name in re.findall(r"(\w*\(?)(pyloader_\w+)", expression):
            assert (before == "rate(") == name.endswith("_total"), expression


def test_panels_have_titles_and_descriptions_and_lie_side_by_side():
    places = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"] and panel["description"].endswith(".")
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
