"""What a type checker says of the public API: mypy checks this file, and reports an ignored error that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import sedna_metrics
from sedna_metrics import Worker


def settings() -> None:
    worker: Worker = sedna_metrics.start(
        export="push",
        port="9470-9499",
        pushgateway_url="http://pushgateway.monitoring:9091",
        push_interval=15,
        spool_dir=Path("/var/lib/sedna-metrics"),
        buckets=[0.01, 0.1, 1],
        log_level="DEBUG",
    )
    sedna_metrics.start(export="everywhere")  # type: ignore[arg-type]
    sedna_metrics.start(prot=9470)  # type: ignore[call-arg]
    sedna_metrics.start(push_interval="often")  # type: ignore[arg-type]
    sedna_metrics.start("push")  # type: ignore[call-arg, arg-type]
    url: Optional[str] = worker.url
    port: int = worker.url  # type: ignore[assignment]
    print(url, port)


def decorated_functions_keep_their_types() -> None:
    ji = sedna_metrics.start().joint_inference

    @ji.edge_inference
    def infer(image: bytes, threshold: float = 0.5) -> bool:
        return len(image) > threshold

    hard: bool = infer(b"image", threshold=0.1)
    infer(1)  # type: ignore[arg-type]
    text: str = infer(b"image")  # type: ignore[assignment]
    ji.hard_sample(3)
    ji.easy_sample()  # type: ignore[attr-defined]
    print(hard, text)


def training() -> None:
    with sedna_metrics.start() as worker, worker.incremental_learning.training(samples=10, epochs=2) as run:
        for epoch in run.epochs():
            number: int = epoch
            run.loss(1 / (number + 1))
        worker.incremental_learning.training(epoch=2)  # type: ignore[call-arg]
        run.losses(1)  # type: ignore[attr-defined]
