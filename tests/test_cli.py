"""The command."""

from __future__ import annotations

import json
import subprocess
import sys

from sedna_metrics.catalogue import ALL
from sedna_metrics.cli import main


def test_the_catalogue_as_json_has_every_metric_with_its_contract(capsys):
    assert main(["catalogue", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [metric.name for metric in ALL]
    row = next(row for row in rows if row["name"] == "sedna_inferences_total")
    assert row["type"] == "counter"
    assert row["labels"] == ["location"]
    assert row["proposal"] == ["EdgeInferenceCount", "CloudInferenceCount"]
    assert row["help"].startswith("EdgeInferenceCount")
    assert {"unit"} < set(row)


def test_the_catalogue_for_people_has_every_metric_and_proposal_name(capsys):
    assert main(["catalogue"]) == 0
    shown = capsys.readouterr().out
    for metric in ALL:
        assert metric.name in shown
        assert all(name in shown for name in metric.proposal)


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2
    assert "catalogue" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m sedna_metrics catalogue --format json | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
