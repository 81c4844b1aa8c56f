"""Import in a worker script: the script says what happens, in its own words."""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.linear_model import SGDClassifier

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from digits import digits

CONFIDENCE = 0.8

worker = sedna_metrics.start()
il = worker.incremental_learning
il.iteration(1)
start, arriving = digits(0, 300), digits(300, 600)
model = SGDClassifier(loss="log_loss", random_state=0).fit(start.pixels, start.labels)

for pixels in arriving.pixels:
    with il.inference():
        confidence = model.predict_proba([pixels]).max()
    if confidence < CONFIDENCE:
        il.hard_sample()

print(f"scraped at {worker.url}")
worker.close()
