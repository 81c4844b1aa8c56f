"""Lifelong learning in one script: cameras that see in other ways are tasks, met one after the other.

One hangs upright; then come one that is turned by a quarter, and one that sees the infra-red. A sample that is near to
no known task's is unseen; what is unseen of a round becomes a task of the knowledge base.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score, log_loss

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import Images, digits, pace
from truth import Truth

CAMERAS = (
    lambda image: image,  # upright
    np.rot90,  # turned
    lambda image: 1 - image,  # infra-red: warm is bright
)
EPOCHS = 10
FAR = 2.3  # from the nearest known sample: few samples of the same camera are, nearly all of another
CLASSES = np.arange(10)
output = Path(os.environ.get("DEMO_FOLDER") or tempfile.mkdtemp(prefix="lifelong-"))


def seen_by(camera, images: Images) -> Images:
    """The images as the camera gives them."""
    return Images(np.array([camera(image.reshape(8, 8)).ravel() for image in images.pixels]), images.labels)


def seen_by_all(cameras, images: Images) -> Images:
    """The images as each of the cameras gives them."""
    parts = [seen_by(camera, images) for camera in cameras]
    return Images(np.concatenate([part.pixels for part in parts]), np.concatenate([part.labels for part in parts]))


class KnowledgeBase:
    """A model for each task, and the samples that it rests on."""

    def __init__(self) -> None:
        self.models: list = []
        self.samples: list = []

    def nearest(self, pixels):
        """Index of the task that fits, and how far its nearest sample is."""
        distances = [np.linalg.norm(known - pixels, axis=1).min() for known in self.samples]
        best = int(np.argmin(distances)) if distances else -1
        return best, (distances[best] if distances else np.inf)

    def save(self, version: int) -> str:
        path = output / f"knowledge-{version}.joblib"
        joblib.dump(self.models, path)
        return str(path)


def main() -> None:
    truth = Truth()
    with sedna_metrics.start() as worker:
        ll = worker.lifelong_learning
        knowledge = KnowledgeBase()
        test = digits(1500)
        inferences = unseen_samples = 0
        url = ""

        @ll.inference
        def infer(task, pixels):
            return knowledge.models[task].predict([pixels])[0]

        for iteration, camera in enumerate(CAMERAS, start=1):
            ll.iteration(iteration)
            day = digits(400 * (iteration - 1), 400 * iteration)
            arriving = seen_by_all(CAMERAS[:iteration], day)
            unseen = []
            for index, pixels in enumerate(arriving.pixels):
                pace(0.4 / len(CAMERAS) / len(arriving.labels))
                task, distance = knowledge.nearest(pixels)
                if distance > FAR:
                    ll.unseen_sample()
                    unseen.append(index)
                else:
                    infer(task, pixels)
                    inferences += 1
            unseen_samples += len(unseen)
            new = Images(arriving.pixels[unseen], arriving.labels[unseen])

            with ll.training(samples=len(new.labels), epochs=EPOCHS) as training:
                model = SGDClassifier(loss="log_loss", alpha=1e-3, random_state=iteration)
                for epoch in training.epochs():
                    order = np.random.default_rng(epoch).permutation(len(new.labels))
                    for batch in training.steps(np.array_split(order, 4)):
                        model.partial_fit(new.pixels[batch], new.labels[batch], CLASSES)
                        pace(0.6 / len(CAMERAS) / EPOCHS / 4)
                    loss = float(log_loss(new.labels, model.predict_proba(new.pixels), labels=CLASSES))
                    training.loss(loss)
                knowledge.models.append(model)
                knowledge.samples.append(new.pixels)
                old_url, url = url, knowledge.save(iteration)
                training.output_model(url)
            ll.known_tasks(len(knowledge.models))
            ll.task_samples(sum(map(len, knowledge.samples)))

            shown = seen_by(camera, test)
            scores = [f1_score(shown.labels, each.predict(shown.pixels), average="macro") for each in knowledge.models]
            with ll.evaluation(samples=len(test.labels)) as evaluation:
                evaluation.new_model(url, f1=scores[-1])
                evaluation.old_model(old_url or "none", f1=max(scores[:-1], default=0.0))
            with ll.deployment(url):
                pass  # the knowledge base is used by this very process

        print(f"{unseen_samples} unseen samples became {len(knowledge.models)} tasks; f1 {scores[-1]:.2f}")
        truth.expect("TaskStage", "sedna_task_stage", 1, task_stage="deploy")
        truth.expect("IterationNo", "sedna_iteration", len(CAMERAS))
        truth.expect("EdgeInferenceCount", "sedna_inferences_total", inferences, location="edge")
        truth.expect("", "sedna_unseen_samples_total", unseen_samples)
        truth.expect("", "sedna_known_tasks", len(CAMERAS))
        truth.expect("", "sedna_task_samples", unseen_samples)
        truth.expect("TrainSampleNum", "sedna_training_samples", len(unseen))
        truth.expect("TrainLoss", "sedna_training_loss", loss)
        truth.expect("", "sedna_training_step_duration_seconds_count", len(CAMERAS) * EPOCHS * 4)
        truth.expect("TrainOutputModelUrl", "sedna_training_output_model_info", 1, url=url)
        truth.expect("EvalSampleNum", "sedna_eval_samples", len(test.labels))
        truth.expect("AccuracyMetricForNewModel", "sedna_eval_score", scores[-1], model="new", metric="f1")
        truth.expect("AccuracyMetricForOldModel", "sedna_eval_score", max(scores[:-1]), model="old", metric="f1")
        truth.expect("DeployModelUrl", "sedna_deploy_model_info", 1, url=url)
        truth.expect("DeployStatus", "sedna_deploy_status", 1, status="ok")
    truth.publish()


if __name__ == "__main__":
    main()
