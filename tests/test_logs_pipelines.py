"""The shipped pipelines for Promtail and Alloy read the fields that the formatter writes.

What is held against each other here are the fields, and what a line of a real worker has. The agents themselves are in
no package registry; ``test_stack_loki.py`` runs them where they are at hand.
"""

from __future__ import annotations

import json
import re

import pytest
import yaml

from sedna_metrics.catalogue import log as contract
from sedna_metrics.stack._export import FILES as STACK

FOLDER = STACK / "loki"
LABELS = {"namespace", "task", "worker_type", "level"}


def promtail():
    scrape, controllers = yaml.safe_load((FOLDER / "promtail.yml").read_text())["scrape_configs"]
    assert controllers["job_name"] == "sedna-controller"
    stages = {name: content for stage in scrape["pipeline_stages"] for name, content in stage.items()}
    names = [name for stage in scrape["pipeline_stages"] for name in stage]
    assert names == ["cri", "regex", "regex", "json", "timestamp", "labels", "labeldrop", "structured_metadata"]
    assert stages["labeldrop"] == ["filename", "stream"]
    return stages["json"]["expressions"], set(stages["labels"]), set(stages["structured_metadata"]), stages["timestamp"]


def alloy():
    text = re.sub(r"//.*", "", (FOLDER / "config.alloy").read_text().replace("http://", "http:"))
    text, _ = re.split(r'local\.file_match "controllers"', text)
    names = re.findall(r"stage\.(\w+) \{", text)
    assert names == ["cri", "regex", "regex", "json", "timestamp", "labels", "label_drop", "structured_metadata"]
    assert 'values = ["filename", "stream"]' in text

    def block(name):
        body = re.search(rf"stage\.{name} \{{(.*?)\n\t\}}", text, re.DOTALL).group(1)
        return dict(re.findall(r'^\s*(\w+)\s*= "(.*?)"', body, re.MULTILINE))

    return block("json"), set(block("labels")), set(block("structured_metadata")), block("timestamp")


@pytest.fixture(params=[promtail, alloy], ids=["promtail", "alloy"])
def pipeline(request):
    return request.param()


def test_what_is_extracted_is_what_is_written(pipeline):
    extracted, labels, metadata, timestamp = pipeline
    assert all(name == expression for name, expression in extracted.items())
    # Message, traces and marks are read in the line itself; everything else has a place.
    assert set(extracted) == set(contract.FIELDS) - {"message", "exception", "stack", "truncated"}
    assert labels == LABELS
    assert metadata == set(extracted) - LABELS - {"timestamp"}
    assert timestamp == {"source": "timestamp", "format": "RFC3339Nano"}


def test_a_workers_lines_have_what_the_pipeline_extracts(pipeline, start, capfd):
    extracted = pipeline[0]
    worker = start({"WORKER_NAME": "train-worker-x", "NAMESPACE": "ns", "NODE_NAME": "edge"}, log="json")
    il = worker.incremental_learning
    il.iteration(3)
    with il.training(samples=4, epochs=1) as training:
        for _ in training.epochs():
            training.loss(0.5)
    with pytest.raises(OSError, match="camera"), il.inference():
        raise OSError("camera")
    worker.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert set().union(*lines) >= set(extracted)
    for line in lines:
        assert line.keys() >= LABELS
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    assert {line["iteration"] for line in lines if line.get("event") != "worker.started"} == {3}
