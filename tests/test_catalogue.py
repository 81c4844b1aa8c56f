"""The contract: every declared metric is sound, and is emitted by the public API of its task kind."""

from __future__ import annotations

import re

import pytest
from support import everything, samples, values

from sedna_metrics.catalogue import ALL, BY_NAME

CONTRACT = {
    # name: (type, labels), as agreed; what is dropped or changed here breaks dashboards and rules.
    "sedna_worker_info": ("gauge", "namespace kind worker_type node host version"),
    "sedna_worker_last_success_timestamp_seconds": ("gauge", ""),
    "sedna_inferences_total": ("counter", "location"),
    "sedna_hard_samples_total": ("counter", ""),
    "sedna_inference_samples_total": ("counter", ""),
    "sedna_inference_errors_total": ("counter", "location"),
    "sedna_inference_duration_seconds": ("histogram", "location"),
    "sedna_inferences_in_progress": ("gauge", "location"),
    "sedna_unseen_samples_total": ("counter", ""),
    "sedna_served_inferences_total": ("counter", ""),
    "sedna_served_inference_errors_total": ("counter", ""),
    "sedna_served_inference_duration_seconds": ("histogram", ""),
    "sedna_task_stage": ("gauge", "task_stage"),
    "sedna_stage_status": ("gauge", "task_stage status"),
    "sedna_iteration": ("gauge", ""),
    "sedna_iteration_inferences": ("gauge", ""),
    "sedna_iteration_hard_samples": ("gauge", ""),
    "sedna_training_samples": ("gauge", ""),
    "sedna_training_loss": ("gauge", ""),
    "sedna_training_nonfinite_losses_total": ("counter", ""),
    "sedna_training_remaining_seconds": ("gauge", ""),
    "sedna_training_estimated_completion_timestamp_seconds": ("gauge", ""),
    "sedna_training_epoch": ("gauge", ""),
    "sedna_training_epochs": ("gauge", ""),
    "sedna_training_step_duration_seconds": ("histogram", ""),
    "sedna_training_output_model_info": ("gauge", "url"),
    "sedna_eval_samples": ("gauge", ""),
    "sedna_eval_remaining_seconds": ("gauge", ""),
    "sedna_eval_estimated_completion_timestamp_seconds": ("gauge", ""),
    "sedna_eval_new_model_info": ("gauge", "url"),
    "sedna_eval_score": ("gauge", "model metric"),
    "sedna_deploy_model_info": ("gauge", "url"),
    "sedna_deploy_status": ("gauge", "status"),
    "sedna_train_nodes": ("gauge", ""),
    "sedna_train_node_info": ("gauge", "client"),
    "sedna_train_status": ("gauge", "status"),
    "sedna_node_samples": ("gauge", "client"),
    "sedna_aggregation_round": ("gauge", ""),
    "sedna_aggregations_total": ("counter", ""),
    "sedna_aggregation_duration_seconds": ("histogram", ""),
    "sedna_known_tasks": ("gauge", ""),
    "sedna_task_samples": ("gauge", ""),
}
PROPOSAL = """
    EdgeInferenceCount CloudInferenceCount HardSampleNum TaskStage CurrentStatus IterationNo IterationInferenceCount
    IterationHardSampleNum TrainSampleNum TrainLoss TrainRemainingTime TrainOutputModelUrl EvalSampleNum
    EvalRemainingTime
    EvalNewModelUrl AccuracyMetricForNewModel AccuracyMetricForOldModel DeployModelUrl DeployStatus TrainNodes
    TrainStatus
    NodeSampleNum AggregationNo
"""


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_is_kept(name):
    type_, labels = CONTRACT[name]
    assert (BY_NAME[name].type, " ".join(BY_NAME[name].labels)) == (type_, labels)


def test_every_name_of_the_proposal_stands_at_the_start_of_a_help_text():
    assert {name for metric in ALL for name in metric.proposal} == set(PROPOSAL.split())
    for metric in ALL:
        assert metric.help.startswith(", ".join(metric.proposal))


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_name_follows_the_rules(metric):
    assert re.fullmatch(r"sedna_[a-z_]+", metric.name)
    assert metric.description.endswith(".")


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_declaration_is_sound(metric):
    assert metric.form in ("counter", "gauge", "histogram", "info", "state")
    assert metric.reduce in ("", "last", "mean")
    assert (metric.form == "counter") == metric.name.endswith("_total")
    assert (metric.form == "state") == bool(metric.states) == bool(metric.state_label)
    assert not metric.state_label or metric.state_label in metric.labels


def test_every_declared_metric_is_reachable_from_the_public_api(gateway, start):
    worker = start(export="both", port=0, host="127.0.0.1", pushgateway_url=gateway.url)
    everything(worker)
    worker.success()
    assert worker.flush()
    seen = {name for name, _ in samples(worker)}
    declared = {metric.name + ("_count" if metric.type == "histogram" else "") for metric in ALL}
    assert declared - seen == set()


def test_exactly_one_state_is_one(worker):
    everything(worker)
    for metric in ALL:
        if metric.form == "state":
            groups = {}
            for labels, value in values(worker, metric.name).items():
                rest = tuple(pair for pair in labels if pair[0] != metric.state_label)
                groups.setdefault(rest, []).append(value)
            assert groups
            for states in groups.values():
                assert sorted(states) == [0.0] * (len(metric.states) - 1) + [1.0]
