"""The dashboards' form: what every panel has, where it stands, and that no metric of the catalogue is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dashboards import DASHBOARDS, panels, queries
from stackgen.rules import RECORDINGS

from sedna_metrics.catalogue import ALL

DOCS = Path(__file__).resolve().parent.parent / "docs"
TEXT_ONLY = ("table", "state-timeline", "logs")


def test_each_metric_of_the_catalogue_is_shown():
    shown = {name for query in queries("prometheus") for name in re.findall(r"\bsedna_\w+", query.expr)}
    shown |= {name[: -len("_bucket")] for name in shown if name.endswith("_bucket")}
    recorded = {name for query in queries("prometheus") for name in re.findall(r"\bsedna:[\w:]+", query.expr)}
    shown |= {name for rule in RECORDINGS if rule.record in recorded for name in re.findall(r"\bsedna_\w+", rule.expr)}
    assert {metric.name for metric in ALL} - shown == set()


def test_each_name_of_the_proposal_is_the_title_of_a_panel():
    titles = " ".join(panel["title"] for board in DASHBOARDS for panel in panels(board))
    names = {name for metric in ALL for name in metric.proposal} | {
        "PodStatus", "ContainerStatus", "StageConditionStatus", "StartTime", "CompletionTime", "SampleNum",
    }  # fmt: skip
    assert names - set(re.findall(r"\w+", titles)) == set()


def test_each_picture_is_in_the_docs_and_modest():
    pictures = {path.name: path.stat().st_size for path in (DOCS / "pictures").glob("*.png")}
    used = set(re.findall(r"\]\(pictures/([\w-]+\.png)\)", (DOCS / "dashboards.md").read_text()))
    assert used == set(pictures)
    assert {name.partition("-")[0] for name in used} == set(DASHBOARDS)
    assert max(pictures.values()) < 250_000
    readme = (DOCS.parent / "README.md").read_text()
    assert set(re.findall(r"\]\(docs/pictures/([\w-]+\.png)\)", readme)) <= used


def test_uids_are_stable_and_their_own():
    assert {name: board["uid"] for name, board in DASHBOARDS.items()} == {
        "overview": "sedna-overview",
        "joint_inference": "sedna-joint-inference",
        "incremental_learning": "sedna-incremental-learning",
        "federated_learning": "sedna-federated-learning",
        "lifelong_learning": "sedna-lifelong-learning",
        "system": "sedna-system",
        "library": "sedna-metrics",
        "logs": "sedna-logs",
    }


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_provisioned(name):
    board = DASHBOARDS[name]
    assert "__inputs" not in board
    assert [variable["name"] for variable in board["templating"]["list"]] == [
        "prometheus", "loki", "namespace", "task", "worker", "search",
    ]  # fmt: skip
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(name):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] in ("${prometheus}", "${loki}")
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        references = [target.get("refId") for target in panel["targets"]]
        assert len(set(references)) == len(references), panel["title"]
        has_unit = panel["fieldConfig"]["defaults"].get("unit") or panel["options"].get("yAxis", {}).get("unit")
        assert has_unit or panel["type"] in TEXT_ONLY, panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_lie_on_each_other_and_fill_their_lines(name):
    taken = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert len(taken) > 0.9 * 24 * height, "more than a tenth is empty"


def test_rates_are_over_an_interval_that_fits_the_scrapes():
    for query in queries("prometheus"):
        for window in re.findall(r"\[([^\]]+)\]", query.expr):
            assert window in ("$__rate_interval", "$__range"), query
