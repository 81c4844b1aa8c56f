"""A worker script of somebody's, with the library or (``CONTROL`` in the environment) without it.

What its functions gave and raised it writes into ``RESULTS``, what was counted into ``COUNTED``: the first has to be
the same either way. ``BEFORE``, ``AFTER`` and ``END`` are code of the case: before the import, after ``start()``, and
at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has these ignored, nohup SIGHUP
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
CASE = {name: os.environ.get(name, "") for name in ("BEFORE", "AFTER", "END")}
results = []


def note(what, *more):
    results.append([what, *map(repr, more)])
    with open(os.environ["RESULTS"], "w") as file:
        json.dump(results, file)


def hit():
    """Called by a fault: notes that the library ran into it, and not only the script."""
    frame = sys._getframe()
    while frame is not None:
        if "/sedna_metrics/" in frame.f_code.co_filename:
            open(os.environ["HIT"], "a").close()
            return
        frame = frame.f_back


class Nothing:
    """Stands for the library where it is not there: decorators and blocks that do nothing."""

    def __getattr__(self, name):
        return Nothing()

    def __call__(self, *arguments, **keywords):
        return arguments[0] if arguments and callable(arguments[0]) else self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def epochs(self):
        return range(3)

    def steps(self, batches):
        return batches


exec(CASE["BEFORE"])
if os.environ.get("CONTROL"):
    worker = Nothing()
else:
    import sedna_metrics

    worker = sedna_metrics.start()
ji, il = worker.joint_inference, worker.incremental_learning


@ji.edge_inference
def infer(x, *, y=1):
    if x == 3:
        raise KeyError("camera")
    return x * y


@ji.cloud_inference
async def ask(x):
    await asyncio.sleep(0)
    return -x


@ji.edge_inference
def stream(n):
    yield from range(n)


exec(CASE["AFTER"])
for x in range(6):
    try:
        note("infer", infer(x, y=2))
        ji.hard_sample(x > 4)
    except KeyError as error:
        note("raised", error, error.__context__)
note("ask", asyncio.run(ask(7)))
note("stream", list(stream(3)))
with contextlib.suppress(ZeroDivisionError), ji.edge_inference():
    raise ZeroDivisionError
with il.training(samples=9, epochs=3) as training:
    for epoch in training.epochs():
        for _batch in training.steps([1, 2]):
            pass
        training.loss(1 / (epoch + 1))
        note("epoch", epoch)
if not os.environ.get("CONTROL"):
    counted = {}
    for family in worker.registry.collect():
        for sample in family.samples:
            own = {name: value for name, value in sample.labels.items() if name not in ("task", "worker")}
            counted[f"{sample.name}{own}"] = sample.value
    with open(os.environ["COUNTED"], "w") as file:
        json.dump(counted, file)
exec(CASE["END"])
note("end")
