"""Decorators on inference functions: plain, asynchronous, and the methods of an estimator for Sedna."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sklearn.linear_model import SGDClassifier
from sklearn.svm import SVC

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits

CONFIDENCE = 0.8

worker = sedna_metrics.start()
ji = worker.joint_inference
few, many, arriving = digits(0, 100), digits(0, 900), digits(900, 1200)


class Estimator:
    """As Sedna's joint inference takes it. Its signature is what it was: Sedna's backends read it."""

    def load(self, model_url: str = "", **kwargs) -> None:
        self.model = SGDClassifier(loss="log_loss", random_state=0).fit(few.pixels, few.labels)

    @ji.edge_inference
    def predict(self, data, **kwargs):
        return self.model.predict_proba([data])[0]


big_model = SVC().fit(many.pixels, many.labels)


@ji.cloud_inference
async def ask_the_cloud(pixels):
    await asyncio.sleep(0.002)  # the way there and back
    return int(big_model.predict([pixels])[0])


async def main() -> None:
    estimator = Estimator()
    estimator.load()
    answers = []
    for pixels in arriving.pixels:
        probabilities = estimator.predict(pixels)
        is_hard = probabilities.max() < CONFIDENCE
        ji.hard_sample(is_hard)  # a numpy bool will do
        answers.append(await ask_the_cloud(pixels) if is_hard else int(probabilities.argmax()))
    right = sum(answer == label for answer, label in zip(answers, arriving.labels))
    print(f"{right} of {len(answers)} digits are right; scraped at {worker.url}")


asyncio.run(main())
worker.close()
