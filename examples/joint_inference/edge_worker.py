"""Joint inference, edge worker: a small model answers; what it is unsure of goes to the big one in the cloud."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import requests
from sklearn.linear_model import LogisticRegression

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits, pace
from truth import Truth

worker = sedna_metrics.start()
ji = worker.joint_inference
cloud = f"http://{os.environ.get('BIG_MODEL_IP', '127.0.0.1')}:{os.environ.get('BIG_MODEL_PORT', '5000')}"
session = requests.Session()

CONFIDENCE = 0.75
few = digits(0, 120)
small_model = LogisticRegression(max_iter=200).fit(few.pixels, few.labels)


@ji.edge_inference
def infer(image):
    return small_model.predict_proba([image])[0]


@ji.cloud_inference
def ask_the_cloud(image):
    response = session.post(cloud, json=image.tolist(), timeout=10)
    response.raise_for_status()
    return response.json()


def main() -> None:
    images = digits(900)
    at_the_edge = in_the_cloud = hard = lost = right = 0
    for image, label in zip(images.pixels, images.labels):
        pace(1 / len(images.labels))
        probabilities = infer(image)
        answer = probabilities.argmax()
        at_the_edge += 1
        if probabilities.max() < CONFIDENCE:  # the hard-example miner
            ji.hard_sample()
            hard += 1
            try:
                answer = ask_the_cloud(image)
                in_the_cloud += 1
            except requests.RequestException:
                lost += 1  # the edge's answer has to do
        right += answer == label

    print(f"{right} of {len(images.labels)} right, {hard} hard, {lost} without an answer from the cloud")
    truth = Truth()
    truth.expect("EdgeInferenceCount", "sedna_inferences_total", at_the_edge, location="edge")
    truth.expect("CloudInferenceCount", "sedna_inferences_total", in_the_cloud, location="cloud")
    truth.expect("HardSampleNum", "sedna_hard_samples_total", hard)
    truth.expect("", "sedna_inference_samples_total", len(images.labels))
    truth.expect("", "sedna_inference_errors_total", lost, location="cloud")
    truth.expect("", "sedna_inference_duration_seconds_count", at_the_edge, location="edge")
    truth.publish(stay=True)


if __name__ == "__main__":
    main()
