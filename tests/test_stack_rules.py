"""Every rule and alert does what it says, by promtool: it fires (or gives its value) when it has to, and only then."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from stackgen._kinds import KINDS
from stackgen.rules import ALERTS, RECORDINGS
from support import program

from sedna_metrics.catalogue import ALL
from sedna_metrics.stack import export
from sedna_metrics.stack._export import FILES

ID = 'namespace="n",task="t",worker="w"'
HOUR = 60  # steps of a minute


def flat(value, steps=2 * HOUR):
    return f"{value}x{steps}"


# Name of the alert: series under which it fires at 100 minutes, series under which it does not.
CASES = {
    "SednaWorkerGone": (
        {'up{job="sedna-workers",instance="a"}': "1x50 0x69"},
        {'up{job="sedna-workers",instance="a"}': flat(1), 'up{job="node",instance="a"}': flat(0)},
    ),
    "SednaLossNotFinite": (
        {f"sedna_training_loss{{{ID}}}": "0.5x50" + " NaN" * 69},
        {f"sedna_training_loss{{{ID}}}": flat(0.5), f"sedna_training_nonfinite_losses_total{{{ID}}}": flat(3)},
    ),
    "SednaTrainingNoProgress": (
        {
            f"sedna_training_remaining_seconds{{{ID}}}": flat(600),
            f"sedna_training_estimated_completion_timestamp_seconds{{{ID}}}": flat(1200),
            f"sedna_training_epoch{{{ID}}}": flat(4),
            f"sedna_training_epochs{{{ID}}}": flat(10),
        },
        {
            f"sedna_training_remaining_seconds{{{ID}}}": "9000-60x120",
            f"sedna_training_estimated_completion_timestamp_seconds{{{ID}}}": flat(9000),
            f"sedna_training_epoch{{{ID}}}": flat(4),
            f"sedna_training_epochs{{{ID}}}": flat(10),
        },
    ),
    "SednaTrainingOverdue": (
        {
            f"sedna_training_estimated_completion_timestamp_seconds{{{ID}}}": flat(600),
            f"sedna_training_remaining_seconds{{{ID}}}": flat(60),
        },
        {
            f"sedna_training_estimated_completion_timestamp_seconds{{{ID}}}": flat(600),
            f"sedna_training_remaining_seconds{{{ID}}}": flat(0),
            'sedna_training_estimated_completion_timestamp_seconds{task="in time"}': flat(9000),
            'sedna_training_remaining_seconds{task="in time"}': flat(60),
        },
    ),
    "SednaDeployNotOk": (
        {f'sedna_deploy_status{{{ID},status="not_ok"}}': "0x50 1x69"},
        {f'sedna_deploy_status{{{ID},status="not_ok"}}': flat(0), f'sedna_deploy_status{{{ID},status="ok"}}': flat(1)},
    ),
    "SednaFederatedNodesMissing": (
        {f"sedna_train_nodes{{{ID}}}": "3x80 2x39", f'sedna_train_status{{{ID},status="completed"}}': flat(0)},
        {
            f"sedna_train_nodes{{{ID}}}": "3x80 0x39",
            f'sedna_train_status{{{ID},status="completed"}}': "0x80 1x39",
            'sedna_train_nodes{namespace="n",task="whole"}': flat(3),
        },
    ),
    "SednaPushGroupStale": (
        {'push_time_seconds{job="sedna-worker",namespace="n",task="t",worker_type="train",instance="i"}': flat(600)},
        {
            'push_time_seconds{job="sedna-worker",namespace="n",task="t",worker_type="train",instance="i"}': flat(600),
            'sedna_worker_last_success_timestamp_seconds{job="sedna-worker",namespace="n",task="t",worker="w",'
            'worker_type="train",instance="i"}': flat(590),
            'push_time_seconds{job="sedna-worker",task="live",worker_type="train"}': "0+60x120",
        },
    ),
    "SednaStageFailed": (
        {f'sedna_stage_status{{{ID},task_stage="train",status="failed"}}': "0x90 1x29"},
        {
            f'sedna_stage_status{{{ID},task_stage="train",status="failed"}}': "1x50 0x69",
            f'sedna_train_status{{{ID},status="failed"}}': flat(0),
            f'sedna_train_status{{{ID},status="waiting"}}': flat(1),
        },
    ),
    "SednaResourceFailed": (
        {'sedna_joint_inference_service_condition{namespace="n",name="t",condition="Failed"}': "0x50 1x69"},
        {
            'sedna_joint_inference_service_condition{namespace="n",name="t",condition="Failed"}': "1x50 0x69",
            'sedna_joint_inference_service_condition{namespace="n",name="t",condition="Running"}': flat(1),
            'sedna_joint_inference_service_condition{namespace="n",name="up",condition="Failed"}': flat(1),
            'kube_pod_labels{namespace="n",pod="p",label_jointinferenceservice_sedna_io_name="up"}': flat(1),
            'kube_pod_status_ready{namespace="n",pod="p",condition="true"}': flat(1),
        },
    ),
    "SednaSpoolNotDrained": (
        {f"sedna_metrics_spool_entries{{{ID}}}": "0x40 2x79"},
        {f"sedna_metrics_spool_entries{{{ID}}}": "2x90 0x29"},
    ),
}
#: The first minute at which an alert fires under the series of its case.
ONSET = {
    "SednaWorkerGone": 53,
    "SednaLossNotFinite": 51,
    "SednaTrainingNoProgress": 48,
    "SednaTrainingOverdue": 26,
    "SednaDeployNotOk": 52,
    "SednaFederatedNodesMissing": 86,
    "SednaPushGroupStale": 17,
    "SednaStageFailed": 91,
    "SednaResourceFailed": 52,
    "SednaSpoolNotDrained": 81,
}
_EDGE = f'sedna_inferences_total{{{ID},location="edge"}}'
_CLOUD = f'sedna_inferences_total{{{ID},location="cloud"}}'
_SAMPLES = f"sedna_inference_samples_total{{{ID}}}"
_BUCKET = f'sedna_inference_duration_seconds_bucket{{{ID},location="edge",le='
_DURATIONS = {f'{_BUCKET}"1"}}': "0+60x120", f'{_BUCKET}"2"}}': "0+120x120", f'{_BUCKET}"+Inf"}}': "0+120x120"}
# Name of the series: input, expected value, input under which there is none.
VALUES = {
    "sedna:inferences:rate5m": ({_EDGE: "0+60x120"}, 1, {_EDGE: "7"}),
    "sedna:inference_errors:rate5m": (
        {f'sedna_inference_errors_total{{{ID},location="cloud"}}': "0+30x120"}, 0.5, {_EDGE: "0+60x120"},
    ),
    "sedna:inference_samples:rate5m": ({_SAMPLES: "0+120x120"}, 2, {_EDGE: "0+60x120"}),
    "sedna:hard_samples:ratio_rate5m": (
        {_SAMPLES: "0+120x120", f"sedna_hard_samples_total{{{ID}}}": "0+30x120"}, 0.25,
        {_SAMPLES: flat(5), f"sedna_hard_samples_total{{{ID}}}": flat(1)},
    ),
    "sedna:uploads:ratio_rate5m": (
        {_SAMPLES: "0+120x120", _CLOUD: "0+60x120", _EDGE: "0+120x120"}, 0.5, {_SAMPLES: "0+120x120", _EDGE: "0+9x120"},
    ),
    "sedna:inference_duration_seconds:p50_5m": (_DURATIONS, 1, {_EDGE: "0+60x120"}),
    "sedna:inference_duration_seconds:p95_5m": (_DURATIONS, 1.9, {_EDGE: "0+60x120"}),
    "sedna:eval_score:latest": (
        {
            f'sedna_eval_score{{{ID},model="new",metric="f1"}}': flat(0.75),
            'sedna_eval_score{namespace="n",task="t",worker="w2",model="new",metric="f1"}': "_x50 0.5x69",
        }, 0.5, {f"sedna_training_loss{{{ID}}}": flat(0.75)},
    ),
    "sedna:eval_score:gain": (
        {
            f'sedna_eval_score{{{ID},model="new",metric="f1"}}': flat(0.75),
            f'sedna_eval_score{{{ID},model="old",metric="f1"}}': flat(0.5),
        }, 0.25, {f'sedna_eval_score{{{ID},model="new",metric="f1"}}': flat(0.75)},
    ),
    "sedna:pods:info": (
        {
            'kube_pod_labels{namespace="n",pod="p",label_reidjob_sedna_io_name="t"}': flat(1),
            'kube_pod_labels{namespace="n",pod="other",label_app="x"}': flat(1),
        }, 1, {'kube_pod_labels{namespace="n",pod="other",label_app="x"}': flat(1)},
    ),
    **{
        f"sedna_{kind}_completion_time_seconds": (
            {
                f'sedna_{kind}_condition{{namespace="n",name="t",task_stage="deploy",condition="Completed"}}': flat(1),
                f'sedna_{kind}_condition_since_seconds{{namespace="n",name="t"}}': flat(1762137480),
            }, 1762137480, {
                f'sedna_{kind}_condition{{namespace="n",name="t",task_stage="deploy",condition="Completed"}}': flat(0),
                f'sedna_{kind}_condition{{namespace="n",name="t",task_stage="train",condition="Completed"}}': flat(1),
                f'sedna_{kind}_condition_since_seconds{{namespace="n",name="t"}}': flat(1762137480),
            },
        )
        for kind in ("incremental_learning_job", "lifelong_learning_job")
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    export(tmp_path / "stack")
    return tmp_path / "stack" / "prometheus"


def promtool_finds(folder, test):
    """Whether promtool finds what the test expects."""
    series = [{"series": name, "values": values} for name, values in test.pop("series").items()]
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, **test}],
    }
    (folder / "test.yml").write_text(json.dumps(document))  # JSON is YAML
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(folder / "test.yml")], capture_output=True, text=True
    )
    assert "got:" in done.stdout + done.stderr or done.returncode == 0, done.stdout + done.stderr
    return done.returncode == 0


def test_each_rule_and_alert_has_a_case():
    assert set(CASES) == {alert.name for alert in ALERTS}
    assert set(VALUES) == {rule.record for rule in RECORDINGS}


def stays_silent(folder, name, series, minute=100):
    check = {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []}
    return promtool_finds(folder, {"series": series, "alert_rule_test": [check]})


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_has_to_and_only_then(folder, name):
    firing, silent = CASES[name]
    assert not stays_silent(folder, name, firing)
    assert stays_silent(folder, name, silent)


@pytest.mark.parametrize("name", ONSET)
def test_an_alert_fires_after_its_time_and_not_before(folder, name):
    firing, _ = CASES[name]
    # Prometheus 3 leaves the first sample out of a range: a minute more or less for the minimum of 30 minutes.
    before = 2 if name == "SednaSpoolNotDrained" else 1
    assert stays_silent(folder, name, dict(firing), ONSET[name] - before)
    assert not stays_silent(folder, name, dict(firing), ONSET[name])


@pytest.mark.parametrize("name", VALUES)
def test_a_recording_has_its_value_and_is_absent_without_data(folder, name):
    series, value, without = VALUES[name]
    # Rounded: 1.9 of a quantile is 1.8999...
    check = {
        "expr": f"sum(round({name}, 0.001))",
        "eval_time": "100m",
        "exp_samples": [{"labels": "{}", "value": value}],
    }
    assert promtool_finds(folder, {"series": series, "promql_expr_test": [check]})
    absent = {"expr": name, "eval_time": "100m", "exp_samples": []}
    assert promtool_finds(folder, {"series": without, "promql_expr_test": [absent]})


GROUP = 'job="sedna-worker",namespace="n",task="t",worker_type="train",instance="edge"'


def pushing(worker, status, remaining, since=0, until=2 * HOUR, ended_well=False):
    """What a training worker pushed last: from one minute until another it pushed, and its group stays."""
    length = 2 * HOUR - since
    own, gap = f'{GROUP},worker="{worker}"', f"_x{since} " if since else ""
    pushes = f"{since * 60}+60x{until - since} {until * 60}x{2 * HOUR - until}"
    series = {
        f"push_time_seconds{{{GROUP}}}": pushes,
        f"sedna_training_remaining_seconds{{{own}}}": gap + flat(remaining, length),
        f"sedna_training_estimated_completion_timestamp_seconds{{{own}}}": gap + flat(until * 60 + remaining, length),
        f"sedna_training_epoch{{{own}}}": gap + flat(4, length),
        f"sedna_training_epochs{{{own}}}": gap + flat(10, length),
        f"sedna_metrics_spool_entries{{{own}}}": gap + flat(0, length),
    }
    for each in ("running", "completed", "failed"):
        name = f'sedna_stage_status{{{own},task_stage="train",status="{each}"}}'
        series[name] = gap + flat(int(each == status), length)
    if ended_well:
        series[f"sedna_worker_last_success_timestamp_seconds{{{own}}}"] = gap + flat(until * 60, length)
    return series


def replica(instance, until=2 * HOUR, up=1):
    """A scraped replica of a service, whose pod is there until a minute."""
    labels = f'job="sedna-workers",namespace="n",task="ji",worker="edgeworker-a",instance="{instance}"'
    rest = f" stale _x{2 * HOUR - until}" if until < 2 * HOUR else ""
    return {f"up{{{labels}}}": flat(up, until) + rest, f"sedna_inferences_total{{{labels}}}": f"0+60x{until}{rest}"}


#: What happens: the series, and the alerts that fire at 100 minutes.
SCENARIOS = {
    "a batch worker ends well": (pushing("w1", "completed", 0, until=30, ended_well=True), set()),
    "a batch worker is killed": (pushing("w1", "running", 600, until=30), {"SednaPushGroupStale"}),
    "a batch worker is stopped by a signal": (pushing("w1", "failed", 600, until=30), {"SednaStageFailed"}),
    "a killed batch worker is replaced by a healthy one": (
        {
            **{name: f"{flat(1, 39)} stale" for name in pushing("w1", "running", 600)},  # the next push replaces them
            **pushing("w2", "running", 20_000, since=40),
        }, set(),
    ),
    "a batch worker is slow but healthy": (pushing("w1", "running", 20_000, until=2 * HOUR), set()),
    "a batch worker hangs and goes on pushing": (
        {
            **pushing("w1", "running", 600),
            f'sedna_training_estimated_completion_timestamp_seconds{{{GROUP},worker="w1"}}': flat(1200),
        }, {"SednaTrainingNoProgress", "SednaTrainingOverdue"},
    ),
    "a service is scaled down": ({**replica("pod-1"), **replica("pod-2", until=50)}, set()),
    "a replica of a service does not answer": ({**replica("pod-1"), **replica("pod-2", up=0)}, {"SednaWorkerGone"}),
    "a pushing service was stopped, and its group is left": (
        {'push_time_seconds{job="sedna-worker",namespace="n",task="ji",worker_type="edge",instance="p"}': flat(600)},
        set(),
    ),
}  # fmt: skip


_OWN = f'{GROUP},worker="w"'
_STALE = {f"push_time_seconds{{{GROUP}}}": flat(0)}
_GROUP_LABELS = ("namespace", "task", "worker_type", "instance")
_COMPLETED = {'sedna_train_status{namespace="n",task="t",worker="x",status="completed"}': flat(1)}
#: Alert: series under which it fires, series that silence it, and the labels in which the two must agree.
SILENCED = {
    "no progress, of a group that is stale": (
        "SednaTrainingNoProgress",
        {
            f"sedna_training_remaining_seconds{{{_OWN}}}": flat(600),
            f"sedna_training_estimated_completion_timestamp_seconds{{{_OWN}}}": flat(1200),
            f"sedna_training_epoch{{{_OWN}}}": flat(4),
            f"sedna_training_epochs{{{_OWN}}}": flat(10),
        }, _STALE, (*_GROUP_LABELS, "job"),
    ),
    "overdue, of a group that is stale": (
        "SednaTrainingOverdue",
        {
            f"sedna_training_remaining_seconds{{{_OWN}}}": flat(600),
            f"sedna_training_estimated_completion_timestamp_seconds{{{_OWN}}}": flat(600),
        }, _STALE, (*_GROUP_LABELS, "job"),
    ),
    "the spool of a worker that is gone": (
        "SednaSpoolNotDrained", {f"sedna_metrics_spool_entries{{{_OWN}}}": flat(2)}, _STALE, (*_GROUP_LABELS, "job"),
    ),
    "a stale group that ended well": (
        "SednaPushGroupStale", _STALE,
        {f"sedna_worker_last_success_timestamp_seconds{{{_OWN}}}": flat(590)}, _GROUP_LABELS,
    ),
    "a stale group that failed": (
        "SednaPushGroupStale", _STALE,
        {f'sedna_stage_status{{{_OWN},task_stage="train",status="failed"}}': flat(1)}, _GROUP_LABELS,
    ),
    "nodes of a task that is completed": (
        "SednaFederatedNodesMissing", {f"sedna_train_nodes{{{ID}}}": "3x80 2x39"}, _COMPLETED, ("namespace", "task"),
    ),
    "a service marked Failed whose pods are ready": (
        "SednaResourceFailed",
        {'sedna_joint_inference_service_condition{namespace="n",name="t",condition="Failed"}': flat(1)},
        {
            'kube_pod_labels{namespace="n",pod="p",label_jointinferenceservice_sedna_io_name="t"}': flat(1),
            'kube_pod_status_ready{namespace="n",pod="p",condition="true"}': flat(1),
        }, ("namespace", "label_jointinferenceservice_sedna_io_name"),
    ),
}  # fmt: skip


def relabelled(series, label):
    return {re.sub(rf'\b{label}="[^"]*"', f'{label}="another"', name): values for name, values in series.items()}


@pytest.mark.parametrize(("what", "label"), [(what, label) for what in SILENCED for label in ("", *SILENCED[what][3])])
def test_an_alert_is_silenced_by_its_own_task_alone(folder, what, label):
    """Two namespaces may have a task of one name, and a task several workers, nodes and roles."""
    name, firing, silencing, _ = SILENCED[what]
    assert stays_silent(folder, name, {**firing, **(relabelled(silencing, label) if label else silencing)}) == (
        not label
    )


STALE_WITH = 'push_time_seconds{job="%s",namespace="n",task="t",worker_type="%s",instance="i"}'
#: More series under which an alert fires, or does not: each of the alternatives in its expression.
MORE = {
    "an edge worker": ("SednaWorkerGone", {'up{job="sedna-edge-workers",instance="a"}': flat(0)}, True),
    **{
        f"a stale {type_}": ("SednaPushGroupStale", {STALE_WITH % ("sedna-worker", type_): flat(600)}, fires)
        for type_, fires in {
            "train": True, "eval": True, "aggregation": True, "reid": True, "videoanalytics": True, "unknown": True,
            "edge": False, "inference": False, "reidworker": False,
        }.items()
    },
    "a stale group of another job": ("SednaPushGroupStale", {STALE_WITH % ("theirs", "train"): flat(600)}, False),
    "completed, while others still wait": (
        "SednaFederatedNodesMissing",
        {
            f"sedna_train_nodes{{{ID}}}": "3x80 2x39", **_COMPLETED,
            'sedna_train_status{namespace="n",task="t",worker="y",status="waiting"}': flat(1),
        }, True,
    ),
    "completed, while others still run": (
        "SednaFederatedNodesMissing",
        {
            f"sedna_train_nodes{{{ID}}}": "3x80 2x39", **_COMPLETED,
            'sedna_train_status{namespace="n",task="t",worker="y",status="running"}': flat(1),
        }, True,
    ),
    "completed, and nobody runs": (
        "SednaFederatedNodesMissing",
        {
            f"sedna_train_nodes{{{ID}}}": "3x80 2x39", **_COMPLETED,
            'sedna_train_status{namespace="n",task="t",worker="y",status="running"}': flat(0),
            'sedna_train_status{namespace="another",task="t",worker="y",status="running"}': flat(1),
            'sedna_train_status{namespace="n",task="another",worker="y",status="running"}': flat(1),
        }, False,
    ),
    **{
        f"a stale group that trains, {status}": (
            "SednaPushGroupStale",
            {
                **_STALE, f"sedna_worker_last_success_timestamp_seconds{{{_OWN}}}": flat(590),
                f'sedna_train_status{{{_OWN},status="{status}"}}': flat(value),
            }, bool(value),
        )
        for status in ("waiting", "running") for value in (0, 1)
    },
    "a service marked Failed with one pod of two": (
        "SednaResourceFailed",
        {
            'sedna_joint_inference_service_condition{namespace="n",name="t",condition="Failed"}': flat(1),
            'kube_pod_labels{namespace="n",pod="p",label_jointinferenceservice_sedna_io_name="t"}': flat(1),
            'kube_pod_labels{namespace="n",pod="q",label_jointinferenceservice_sedna_io_name="t"}': flat(1),
            'kube_pod_status_ready{namespace="n",pod="p",condition="true"}': flat(1),
            'kube_pod_status_ready{namespace="n",pod="q",condition="true"}': flat(0),
        }, True,
    ),
    "a training that has ended": (
        "SednaTrainingNoProgress",
        {
            f"sedna_training_remaining_seconds{{{ID}}}": flat(0),
            f"sedna_training_estimated_completion_timestamp_seconds{{{ID}}}": flat(0),
            f"sedna_training_epoch{{{ID}}}": flat(10), f"sedna_training_epochs{{{ID}}}": flat(10),
        }, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MORE)
def test_each_alternative_of_an_alert(folder, what):
    name, series, fires = MORE[what]
    assert stays_silent(folder, name, dict(series)) != fires


@pytest.mark.parametrize("kind", ["incremental_learning_job", "lifelong_learning_job"])
def test_the_completion_time_is_that_of_the_last_deployment(folder, kind):
    """Deploy/Completed is the newest condition, or, in the same second, the one before Train/Waiting."""
    resource = f"sedna_{kind}"

    def conditions(namespace, which, stage, condition, since):
        own = f'namespace="{namespace}",name="t"'
        return {
            f'{resource}_{which}{{{own},task_stage="{stage}",condition="{condition}"}}': flat(1),
            f"{resource}_{which}_since_seconds{{{own}}}": flat(since),
        }

    series = {
        **conditions("next", "condition", "train", "Waiting", 9),
        **conditions("next", "previous_condition", "deploy", "Completed", 7),
        **conditions("done", "condition", "deploy", "Completed", 5),
        **conditions("done", "previous_condition", "deploy", "Running", 3),
        **conditions("failed", "condition", "deploy", "Failed", 2),
        **conditions("failed", "previous_condition", "eval", "Completed", 1),
    }
    expected = [
        {"labels": f'{resource}_completion_time_seconds{{namespace="{namespace}",name="t"}}', "value": value}
        for namespace, value in (("done", 5), ("next", 7))
    ]
    check = {"expr": f"{resource}_completion_time_seconds", "eval_time": "100m", "exp_samples": expected}
    assert promtool_finds(folder, {"series": series, "promql_expr_test": [check]})


def test_a_pod_of_each_kind_has_its_task(folder):
    series, expected = {}, []
    for kind in KINDS:
        for namespace in ("a", "b"):
            labels = f'namespace="{namespace}",pod="{kind.lower}",label_{kind.label}_name="t"'
            series[f'kube_pod_labels{{{labels},label_{kind.label}_worker_type="x"}}'] = flat(1)
            own = f'namespace="{namespace}",pod="{kind.lower}",kind="{kind.lower}",task="t",worker_type="x"'
            expected.append({"labels": f"sedna:pods:info{{{own}}}", "value": 1})
    check = {"expr": "sedna:pods:info", "eval_time": "100m", "exp_samples": expected}
    assert promtool_finds(folder, {"series": series, "promql_expr_test": [check]})


def test_recordings_keep_namespaces_and_locations_apart(folder):
    """A ratio of one namespace's samples must not be that of another's."""
    twice = {}
    for namespace, rate, instance in (
        ("a", 30, "1"),
        ("a", 30, "2"),
        ("b", 60, "1"),
        ("b", 60, "2"),
    ):  # two replicas each
        own = f'namespace="{namespace}",task="t",worker="w",instance="{instance}"'
        for location in ("edge", "cloud"):
            twice[f'sedna_inferences_total{{{own},location="{location}"}}'] = f"0+{rate // 2}x120"
            twice[f'sedna_inference_errors_total{{{own},location="{location}"}}'] = f"0+{rate // 2}x120"
            for bound, factor in (("1", 1), ("2", 2), ("+Inf", 2)):
                name = f'sedna_inference_duration_seconds_bucket{{{own},location="{location}",le="{bound}"}}'
                twice[name] = f"0+{rate * factor}x120"
        twice[f"sedna_inference_samples_total{{{own}}}"] = f"0+{rate}x120"
        twice[f"sedna_hard_samples_total{{{own}}}"] = f"0+{30 if instance == '1' else rate // 2 - 15}x120"
        for model, score in (("new", 0.5 + rate / 500), ("old", 0.5)):
            twice[f'sedna_eval_score{{{own},model="{model}",metric="f1"}}'] = flat(score)
            twice[f'sedna_eval_score{{{own},model="{model}",metric="recall"}}'] = flat(score / 2)
    expected = {
        "sedna:inferences:rate5m": (4, {0.5, 1}), "sedna:inference_errors:rate5m": (4, {0.5, 1}),
        "sedna:inference_samples:rate5m": (2, {1, 2}), "sedna:hard_samples:ratio_rate5m": (2, {0.5, 0.375}),
        "sedna:uploads:ratio_rate5m": (2, {0.5}), "sedna:inference_duration_seconds:p50_5m": (4, {1}),
        "sedna:inference_duration_seconds:p95_5m": (4, {1.9}), "sedna:eval_score:gain": (4, {0.06, 0.12, 0.03}),
        "sedna:eval_score:latest": (8, {0.56, 0.62, 0.5, 0.28, 0.31, 0.25}),
    }  # fmt: skip
    for name, (count, values) in expected.items():
        checks = [
            {"expr": f"count({name})", "eval_time": "100m", "exp_samples": [{"labels": "{}", "value": count}]},
            {
                "expr": f'count(count_values("value", round({name}, 0.001)))', "eval_time": "100m",
                "exp_samples": [{"labels": "{}", "value": len(values)}],
            },
            *(
                {
                    "expr": f"count(round({name}, 0.001) == bool {value}) > bool 0", "eval_time": "100m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
                for value in values
            ),
        ]  # fmt: skip
        assert promtool_finds(folder, {"series": dict(twice), "promql_expr_test": checks}), name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exactly_the_right_alerts_fire(folder, scenario):
    series, expected = SCENARIOS[scenario]
    assert {alert.name for alert in ALERTS if not stays_silent(folder, alert.name, dict(series))} == expected


def test_no_query_adds_up_the_states_of_replicas():
    text = "\n".join(path.read_text() for path in (FILES / "grafana").rglob("*.json"))
    for name in [metric.name for metric in ALL if metric.form == "state"]:
        assert name in text
        assert not re.search(rf"\bsum\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\([^)]*{name}", text), name


def test_no_label_of_ours_is_one_that_discovery_adds():
    documents = [yaml.safe_load((FILES / name).read_text()) for name in ("prometheus/prometheus.yml",)]
    added = {
        rule["target_label"]
        for document in documents
        for job in document["scrape_configs"]
        for rule in job.get("relabel_configs", [])
        if "target_label" in rule and not rule["target_label"].startswith("__")
    } | {"instance", "job", "namespace"}
    assert {"pod", "node", "kind", "worker_type"} <= added
    for metric in ALL:
        if metric.name != "sedna_worker_info":
            assert not added & set(metric.labels), metric.name


@pytest.mark.parametrize(
    "series",
    [
        {f"sedna_training_loss{{{ID}}}": "0.5x50" + " Inf" * 69},
        {f"sedna_training_nonfinite_losses_total{{{ID}}}": "0x95 1x24"},
    ],
    ids=["infinite", "counted"],
)
def test_a_loss_that_is_infinite_or_was_counted_fires_too(folder, series):
    assert not stays_silent(folder, "SednaLossNotFinite", series)


@pytest.mark.parametrize(
    "active_runs",
    ['sedna_stage_status{task_stage="eval",status="running",%s}', 'sedna_train_status{status="waiting",%s}'],
)
def test_a_group_whose_work_was_under_way_is_stale_though_something_ended_well_before(folder, active_runs):
    group = 'job="sedna-worker",namespace="n",task="t",worker_type="train",instance="i"'
    series = {
        f"push_time_seconds{{{group}}}": flat(600),
        f'sedna_worker_last_success_timestamp_seconds{{{group},worker="w"}}': flat(590),
        active_runs % f'{group},worker="w"': flat(1),
    }
    assert not stays_silent(folder, "SednaPushGroupStale", series)


@pytest.mark.parametrize("name", ["prometheus.yml", "standalone.yml"])
def test_promtool_accepts_the_configuration(folder, name):
    # Debian's Prometheus is built without Kubernetes' discovery, and a pod's secrets are not here: all else is checked.
    document = yaml.safe_load((folder / name).read_text())
    for job in document["scrape_configs"]:
        for key in ("kubernetes_sd_configs", "tls_config", "authorization"):
            job.pop(key, None)
    (folder / name).write_text(yaml.safe_dump(document))
    check = [program("promtool"), "check", "config", str(folder / name)]
    assert "SUCCESS: 1 rule files found" in subprocess.run(check, check=True, capture_output=True, text=True).stdout


def test_each_metric_of_ours_in_an_expression_is_in_the_catalogue():
    known = {metric.name for metric in ALL}
    known |= {f"{metric.name}_bucket" for metric in ALL if metric.form == "histogram"}
    used = {name for rule in RECORDINGS + ALERTS for name in re.findall(r"\bsedna_\w+", rule.expr)}
    of_resources = {f"sedna_{kind.snake}_" for kind in KINDS}
    assert {name for name in used - known if not name.startswith(tuple(of_resources))} == set()
