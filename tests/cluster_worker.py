"""A worker of ``test_cluster_stack.py``: TASK ``serve``, or TASK ``train`` SECONDS ``ok``, or ``fail`` in its place.

It stands for an image that has the library; its environment is that of Global Manager and of the injection.
"""

from __future__ import annotations

import sys
import time

import sedna_metrics

name, what, *rest = sys.argv[1:]
with sedna_metrics.start() as worker:
    task = getattr(worker, name)
    if what == "serve":
        count = task.unseen_sample if name == "lifelong_learning" else task.hard_sample
        while True:
            count()
            time.sleep(0.5)
    seconds, end = float(rest[0]), rest[1]
    with task.training(samples=10, epochs=10) as training:
        for _ in training.epochs():
            time.sleep(seconds / 10)
            training.loss(0.5)
        if end == "fail":
            raise SystemExit("the training failed")
