"""Who a worker is, from the environment that the Global Manager injects."""

from __future__ import annotations

import pytest

from sedna_metrics.identity import WorkerIdentity


def identity(hostname="host", program="/app/train.py", **environ):
    return WorkerIdentity.from_env(environ, hostname, program)


@pytest.mark.parametrize(
    ("environ", "kind", "worker_type", "node"),
    [
        ({"WORKER_NAME": "edgeworker-x1"}, "jointinferenceservice", "edge", "unknown"),
        ({"WORKER_NAME": "cloudworker-x1"}, "jointinferenceservice", "cloud", "unknown"),
        ({"WORKER_NAME": "train-worker-x1"}, "incrementallearningjob", "train", "host"),
        ({"WORKER_NAME": "eval-worker-x1"}, "incrementallearningjob", "eval", "host"),
        ({"WORKER_NAME": "inferworker-x1"}, "incrementallearningjob", "inference", "host"),
        ({"WORKER_NAME": "train-worker-x1", "KB_SERVER": "http://kb"}, "lifelonglearningjob", "train", "host"),
        ({"WORKER_NAME": "inferworker-x1", "MODEL_URLS": "/a;/b"}, "lifelonglearningjob", "inference", "host"),
        (
            {"WORKER_NAME": "inferworker-x1", "MODEL_URLS": "/a;/b", "MODEL_URL": "/a"},
            "incrementallearningjob",
            "inference",
            "host",
        ),
        ({"WORKER_NAME": "aggworker-x1"}, "federatedlearningjob", "aggregation", "unknown"),
        ({"WORKER_NAME": "trainworker-x1"}, "federatedlearningjob", "train", "host"),
        ({"WORKER_NAME": "userworker-x1"}, "objectsearchservice", "user", "unknown"),
        ({"WORKER_NAME": "trackingworker-x1"}, "objectsearchservice", "tracking", "unknown"),
        ({"WORKER_NAME": "ab1c2"}, "unknown", "unknown", "unknown"),
        ({"WORKER_NAME": "edgeworker-x1", "NODE_NAME": "edge7"}, "jointinferenceservice", "edge", "edge7"),
        ({}, "unknown", "unknown", "host"),
    ],
)
def test_the_workers_name_tells_kind_and_type(environ, kind, worker_type, node):
    found = identity(**environ)
    assert (found.kind, found.worker_type, found.node) == (kind, worker_type, node)


@pytest.mark.parametrize(
    ("pod", "task", "kind", "worker_type"),
    [
        ("reid-job-reid-x1y2z", "reid-job", "reidjob", "reid"),
        ("cam-videoanalytics-x1y2z", "cam", "videoanalyticsjob", "videoanalytics"),
        ("fe-deployment-fe-6d4cf56db6-x1y2z", "fe", "featureextractionservice", "fe"),
        ("other-reid-x1y2z", "cam", "unknown", "unknown"),
        ("cam-reid-x1", "cam", "unknown", "unknown"),
    ],
)
def test_a_pods_name_tells_what_its_workers_does_not(pod, task, kind, worker_type):
    found = identity(pod, JOB_NAME=task, WORKER_NAME="ab1c2")
    assert (found.task, found.kind, found.worker_type) == (task, kind, worker_type)
    assert found.node == "unknown"


def test_the_pods_name_is_all_that_an_object_searchs_reid_worker_has():
    found = identity("find-me-deployment-reidworker-6d4cf56db6-x1y2z")
    assert (found.task, found.kind, found.worker_type) == ("find-me", "objectsearchservice", "reidworker")
    assert found.node == "unknown"
    assert found.is_replicated


@pytest.mark.parametrize("worker_type", ["reid", "videoanalytics"])
def test_multi_edge_jobs_run_to_completion(worker_type):
    assert identity(f"job-{worker_type}-x1y2z", JOB_NAME="job", WORKER_NAME="ab1c2").is_batch


def test_the_job_comes_before_the_service_and_the_script_stands_in_for_both():
    assert identity(JOB_NAME="job", SERVICE_NAME="service").task == "job"
    assert identity(SERVICE_NAME="service").task == "service"
    assert identity(JOB_NAME=" ", SERVICE_NAME="service").task == "service"
    assert identity().task == "train"
    assert identity(program="").task == "unknown"


@pytest.mark.parametrize(
    ("variable", "path", "iteration"),
    [
        ("MODEL_URL", "/output/train/7", 7),
        ("TRAIN_DATASET_URL", "/output/data/train/12/data.txt", 12),
        ("TEST_DATASET_URL", "s3://bucket/data/eval/3/data.txt", 3),
        ("OUTPUT_URL", "/output/train/4", 4),
        ("MODEL_URL", "/models/little.pb", None),
        ("MODEL_URL", "/output/train/" + "9" * 5000, None),
    ],
)
def test_the_iteration_comes_from_the_paths(variable, path, iteration):
    assert identity(**{variable: path}).iteration == iteration


def test_two_federated_workers_on_one_node_have_groups_of_their_own():
    environ = {"JOB_NAME": "fl", "NODE_NAME": "edge"}
    one = identity(**environ, WORKER_NAME="trainworker-a", DATASET_NAME="one").grouping_key()
    two = identity(**environ, WORKER_NAME="trainworker-b", DATASET_NAME="two").grouping_key()
    assert one != two


def test_the_next_run_of_a_role_on_its_node_has_the_last_ones_group():
    one = identity(hostname="edge", JOB_NAME="il", WORKER_NAME="train-worker-aaaaa").grouping_key()
    two = identity(hostname="edge", JOB_NAME="il", WORKER_NAME="train-worker-bbbbb").grouping_key()
    assert one == two
    assert one["job"] == "sedna-worker"


@pytest.mark.parametrize(
    ("environ", "instance", "is_replicated"),
    [
        ({"WORKER_NAME": "edgeworker-x1", "NODE_NAME": "edge7"}, "host", True),
        ({"WORKER_NAME": "cloudworker-x1"}, "host", True),
        ({"WORKER_NAME": "inferworker-x1", "NODE_NAME": "edge7"}, "edge7", False),
        ({"WORKER_NAME": "train-worker-x1", "NODE_NAME": "edge7"}, "edge7", False),
        ({"WORKER_NAME": "trainworker-x1", "NODE_NAME": "edge7", "DATASET_NAME": "one"}, "edge7:one", False),
        ({"WORKER_NAME": "aggworker-x1"}, "unknown", False),  # not the pod's name, which is new with each run
        ({"WORKER_NAME": "ab1c2"}, "host", False),
    ],
)
def test_replicas_of_a_service_have_an_instance_each_and_other_workers_that_of_their_node(
    environ, instance, is_replicated
):
    found = identity(**environ)
    assert (found.grouping_key()["instance"], found.is_replicated) == (instance, is_replicated)


@pytest.mark.parametrize("hostile", ["a\nb", 'quo"te', "x" * 10_000, "bad\udcff", "\udc80" * 3, "ünï"])
def test_a_hostile_name_becomes_text_that_is_short_and_encodable(hostile):
    task = identity(JOB_NAME=hostile).task
    assert 0 < len(task.encode("utf-8")) <= 4 * 253
    assert len(task) <= 253


def test_two_long_names_stay_two():
    assert identity(JOB_NAME="x" * 999 + "1").task != identity(JOB_NAME="x" * 999 + "2").task


@pytest.mark.parametrize(
    ("program", "task"),
    [("/srv/train.py", "train"), ("/srv/helmet/__main__.py", "helmet"), ("-c", "unknown"), ("", "unknown")],
)
def test_outside_sedna_the_task_is_named_after_the_program(program, task):
    assert WorkerIdentity.from_env({}, program=program).task == task
