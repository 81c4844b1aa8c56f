"""What users are given for their own tests."""

from __future__ import annotations

import contextlib
import gc
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import sedna_metrics
from sedna_metrics import _runtime
from sedna_metrics.testing import FakeClock, capture

PAGE = Path(__file__).resolve().parent.parent / "docs" / "testing.md"


def run_pytest(folder, *arguments):
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_example_of_the_docs_passes(tmp_path):
    files = re.findall(r'^```python title="(.*?)"\n(.*?)^```$', PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for name, text in files:
        (tmp_path / name).write_text(text)
    status, output = run_pytest(tmp_path)
    assert status == 0, output
    assert "5 passed" in output
    assert "warning" not in output


def test_a_conftest_that_imports_the_worker_names_the_plugin_earlier(tmp_path):
    (tmp_path / "infer.py").write_text("import sedna_metrics\nji = sedna_metrics.start().joint_inference\n")
    (tmp_path / "conftest.py").write_text("import infer\n")
    (tmp_path / "test_infer.py").write_text(
        "import infer, threading\n"
        "def test_it(sedna_capture):\n"
        "    infer.ji.hard_sample(2)\n"
        "    assert sedna_capture.value('HardSampleNum') == 2\n"
        "    assert sedna_capture.worker.url is None\n"
        "    assert threading.active_count() == 1\n"
    )
    status, output = run_pytest(tmp_path, "-p", "sedna_metrics.testing.plugin")
    assert status == 0, output


def test_nothing_is_opened(capfd):
    threads = threading.active_count()
    with capture() as captured, sedna_metrics.start() as worker:
        assert worker is captured.worker
        assert worker.url is None
        assert worker.flush()
        worker.joint_inference.hard_sample()
        assert threading.active_count() == threads
    assert capfd.readouterr() == ("", "")
    assert sedna_metrics.running() is None


def test_code_that_is_handed_a_worker_is_handed_one():
    with capture() as captured:
        captured.worker.joint_inference.hard_sample()
        assert sedna_metrics.start() is captured.worker
        assert captured.value("HardSampleNum") == 1


def test_start_is_real_again_afterwards(start):
    with capture():
        pass
    worker = start()
    assert type(worker) is sedna_metrics.Worker
    assert _runtime.make_worker is sedna_metrics.Worker


def test_a_wrong_setting_is_an_error_as_ever():
    with capture():
        with pytest.raises(sedna_metrics.SettingError):
            sedna_metrics.start(port="many")
        with pytest.raises(sedna_metrics.SettingError):
            sedna_metrics.start(export="push")


def test_what_was_closed_can_still_be_read():
    with capture() as captured:
        for amount in (1, 2):
            with sedna_metrics.start() as worker:
                worker.joint_inference.hard_sample(amount)
        del worker
        gc.collect()
        assert captured.value("sedna_hard_samples_total") == 3
        assert captured.value("sedna_worker_last_success_timestamp_seconds") == captured.clock.time()


def test_a_worker_that_ran_before_is_seen_from_the_mark_on_and_put_back(worker, clock):
    il = worker.incremental_learning
    il.hard_sample(5)
    with il.training(samples=7) as training:
        training.output_model("/before")
    with capture() as captured:
        assert sedna_metrics.start() is worker
        il.hard_sample()
        with contextlib.suppress(OSError), il.training(samples=9) as training:
            training.output_model("/within")
            raise OSError
        assert captured.value("HardSampleNum") == 1
        assert captured.value("TrainSampleNum") == 9
        assert captured.state("CurrentStatus") == "failed"
        assert [sample.labels for sample in captured.samples("TrainOutputModelUrl")] == [{"url": "/within"}]
    with capture() as captured:
        assert captured.value("HardSampleNum") == 0
        assert captured.value("TrainSampleNum") == 7
        assert captured.state("CurrentStatus", task_stage="train") == "completed"
        assert [sample.labels for sample in captured.samples("TrainOutputModelUrl")] == [{"url": "/before"}]
    assert sedna_metrics.running() is worker


def test_a_captured_worker_that_ran_before_runs_again_afterwards():
    with capture():
        worker = sedna_metrics.start()
        with capture() as captured:
            with sedna_metrics.start() as same:
                assert same is worker
                same.joint_inference.hard_sample()
            assert captured.value("HardSampleNum") == 1
        assert sedna_metrics.running() is worker
        worker.close()


def test_workers_of_earlier_tests_are_forgotten_unless_something_is_bound_to_them():
    with capture() as outer:
        for _ in range(3):
            with capture():
                sedna_metrics.start()
        with capture():
            infer = sedna_metrics.start().joint_inference.edge_inference(lambda: None)
        gc.collect()
        assert len(outer._takeover.workers) == 1
        with capture() as captured:
            infer()
            assert captured.value("EdgeInferenceCount") == 1


def test_a_loop_left_under_way_is_not_seen_by_the_next_test():
    with capture():
        worker = sedna_metrics.start()
        with capture():
            kept = sedna_metrics.epochs(3)
            next(kept)
        with capture() as captured:
            assert worker.active_runs == []
            assert captured.state("sedna_stage_status") is None


def test_samples_of_a_histogram_count_from_the_mark():
    with capture() as captured:
        ji = sedna_metrics.start().joint_inference
        for seconds in (0.003, 0.03, 70):
            with ji.edge_inference():
                captured.clock.advance(seconds)
            if seconds == 0.003:
                captured.mark()
        assert captured.value("sedna_inference_duration_seconds_count") == 2
        assert captured.value("sedna_inference_duration_seconds_sum", location="edge") == pytest.approx(70.03)
        assert captured.value("sedna_inference_duration_seconds_bucket", le="0.05") == 1
        names = {sample.name for sample in captured.samples("sedna_inference_duration_seconds")}
        assert names == {f"sedna_inference_duration_seconds_{part}" for part in ("bucket", "count", "sum")}


def test_the_proposals_names_tell_locations_and_models_apart():
    with capture() as captured:
        worker = sedna_metrics.start()
        with worker.joint_inference.edge_inference(), worker.joint_inference.cloud_inference():
            pass
        with worker.joint_inference.edge_inference():
            pass
        with worker.incremental_learning.evaluation() as evaluation:
            evaluation.new_model("/new", f1=0.9)
            evaluation.old_model("/old", f1=0.8)
        assert captured.value("EdgeInferenceCount") == 2
        assert captured.value("CloudInferenceCount") == 1
        assert captured.value("sedna_inferences_total") == 3
        assert captured.value("AccuracyMetricForOldModel", metric="f1") == 0.8
        with pytest.raises(ValueError, match="several"):
            captured.value("sedna_eval_score")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda captured: captured.value("sedna_hard_sample_total"), "do you mean 'sedna_hard_samples_total'"),
        (lambda captured: captured.value("sedna_training_loss_count"), "no metric"),
        (lambda captured: captured.value("sedna_inferences_total", place="edge"), "no label place"),
        (lambda captured: captured.state("sedna_training_loss"), "is a gauge"),
        (lambda captured: captured.events("training.complete"), "do you mean 'training.completed'"),
        (lambda captured: captured.samples("x"), "no metric"),
    ],
)
def test_what_there_is_not_is_an_error(ask, says):
    with capture() as captured, pytest.raises(ValueError, match=says):
        ask(captured)


def test_an_error_that_ends_the_worker_is_an_event():
    with capture() as captured:
        with pytest.raises(OSError, match="disk"), sedna_metrics.start():
            raise OSError("disk")
        (failed,) = captured.events()
    assert failed.name == "worker.failed"
    assert failed.fields["reason"] == "disk"


def test_time_does_not_go_back():
    clock = FakeClock()
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="back"):
            clock.advance(seconds)
    clock.advance(60)
    assert (clock.monotonic(), clock.time()) == (60, 1_700_000_060)


def test_the_module_does_not_need_pytest():
    script = "import sys; sys.modules['pytest'] = None; import sedna_metrics.testing"
    subprocess.run([sys.executable, "-c", script], check=True)
