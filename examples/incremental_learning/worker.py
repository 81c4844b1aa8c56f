"""Incremental learning in one script: infer, collect hard samples, train on them, evaluate, deploy if better."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss, precision_score, recall_score

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits, pace
from truth import Truth

ITERATIONS = 3
EPOCHS = 12
CONFIDENCE = 0.9
CLASSES = np.arange(10)
output = Path(os.environ.get("DEMO_FOLDER") or tempfile.mkdtemp(prefix="incremental-"))


def save(model, name: str) -> str:
    path = output / f"{name}.pickle"
    path.write_bytes(pickle.dumps(model))
    return str(path)


def scores(model, images) -> dict:
    """Precision and recall by class, as Sedna's own evaluation has them."""
    predicted = model.predict(images.pixels)
    return {
        "precision": precision_score(images.labels, predicted, average=None, labels=CLASSES, zero_division=0).tolist(),
        "recall": recall_score(images.labels, predicted, average=None, labels=CLASSES, zero_division=0).tolist(),
    }


def main() -> None:
    truth = Truth()
    with sedna_metrics.start() as worker:
        il = worker.incremental_learning

        start, test = digits(0, 100), digits(1300)
        pixels, labels = start.pixels, start.labels
        deployed = SGDClassifier(loss="log_loss", random_state=0).partial_fit(pixels, labels, CLASSES)
        deployed_url = save(deployed, "model-0")

        @il.inference
        def infer(image):
            return deployed.predict_proba([image])[0]

        inferences = hard_samples = deployments = 0
        for iteration in range(1, ITERATIONS + 1):
            il.iteration(iteration)
            arriving = digits(100 + 400 * (iteration - 1), 100 + 400 * iteration)
            hard, seen = [], 0
            for index, image in enumerate(arriving.pixels):
                pace(0.4 / ITERATIONS / len(arriving.labels))
                is_hard = infer(image).max() < CONFIDENCE
                il.hard_sample(is_hard)  # the miner's answer, a numpy bool, will do
                seen += 1
                if is_hard:
                    hard.append(index)
            inferences += seen
            hard_samples += len(hard)
            pixels = np.concatenate([pixels, arriving.pixels[hard]])
            labels = np.concatenate([labels, arriving.labels[hard]])

            with il.training(samples=len(labels), epochs=EPOCHS) as training:
                candidate = SGDClassifier(loss="log_loss", alpha=1e-3, random_state=iteration)
                for epoch in training.epochs():
                    order = np.random.default_rng(epoch).permutation(len(labels))
                    for batch in training.steps(np.array_split(order, 8)):
                        candidate.partial_fit(pixels[batch], labels[batch], CLASSES)
                        pace(0.6 / ITERATIONS / EPOCHS / 8)
                    loss = float(log_loss(labels, candidate.predict_proba(pixels), labels=CLASSES))
                    training.loss(loss)
                url = save(candidate, f"model-{iteration}")
                training.output_model(url)

            with il.evaluation(samples=len(test.labels)) as evaluation:
                new, old = scores(candidate, test), scores(deployed, test)
                evaluation.new_model(url, **new)
                evaluation.old_model(deployed_url, **old)

            better = np.mean(new["precision"]) > np.mean(old["precision"])
            if better:
                with il.deployment(url):
                    deployed, deployed_url = candidate, url
                deployments += 1
            else:
                il.not_deployed(url, "not better than the deployed model")

        print(f"{deployments} of {ITERATIONS} models deployed, {hard_samples} of {inferences} samples hard")
        truth.expect("TaskStage", "sedna_task_stage", 1, task_stage="deploy")
        truth.expect("CurrentStatus", "sedna_stage_status", 1, task_stage="train", status="completed")
        truth.expect("IterationNo", "sedna_iteration", ITERATIONS)
        truth.expect("IterationInferenceCount", "sedna_iteration_inferences", seen)
        truth.expect("IterationHardSampleNum", "sedna_iteration_hard_samples", len(hard))
        truth.expect("EdgeInferenceCount", "sedna_inferences_total", inferences, location="edge")
        truth.expect("HardSampleNum", "sedna_hard_samples_total", hard_samples)
        truth.expect("TrainSampleNum", "sedna_training_samples", len(labels))
        truth.expect("TrainLoss", "sedna_training_loss", loss)
        truth.expect("TrainRemainingTime", "sedna_training_remaining_seconds", 0)
        truth.expect("", "sedna_training_epoch", EPOCHS)
        truth.expect("", "sedna_training_step_duration_seconds_count", ITERATIONS * EPOCHS * 8)
        truth.expect("TrainOutputModelUrl", "sedna_training_output_model_info", 1, url=url)
        truth.expect("EvalSampleNum", "sedna_eval_samples", len(test.labels))
        truth.expect("EvalRemainingTime", "sedna_eval_remaining_seconds", 0)
        truth.expect("EvalNewModelUrl", "sedna_eval_new_model_info", 1, url=url)
        for name in ("precision", "recall"):
            mean_new, mean_old = sum(new[name]) / 10, sum(old[name]) / 10
            truth.expect("AccuracyMetricForNewModel", "sedna_eval_score", mean_new, model="new", metric=name)
            truth.expect("AccuracyMetricForOldModel", "sedna_eval_score", mean_old, model="old", metric=name)
        truth.expect("DeployModelUrl", "sedna_deploy_model_info", 1, url=deployed_url)
        truth.expect("DeployStatus", "sedna_deploy_status", 1, status="ok" if better else "not_ok")
    truth.publish()


if __name__ == "__main__":
    main()
