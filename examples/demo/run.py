"""Four real tasks as separate processes; what they emit is compared with what really happened.

With a real Prometheus and Pushgateway where they can be had, else with an embedded scraper and receiver.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent
sys.path[:0] = [str(HERE), str(EXAMPLES.parent / "tests")]
import servers  # noqa: E402
from backends import Backend, Embedded, Real  # noqa: E402

TIMEOUT_SECONDS = 110
SETTLE_SECONDS = 20
console = Console(width=None if sys.stdout.isatty() else 140)


def free_ports(count: int) -> List[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Demo:
    """The workers, started with the environment that Sedna's Global Manager would give them."""

    def __init__(self, folder: Path, backend: Backend, ports: List[int]) -> None:
        self.folder = folder
        self.backend = backend
        self.processes: Dict[str, Tuple[str, subprocess.Popen]] = {}
        cloud, edge_metrics, cloud_metrics, aggregator = ports
        ji = {"SERVICE_NAME": "digits-joint-inference", "BIG_MODEL_PORT": str(cloud), "BIG_MODEL_BIND_PORT": str(cloud)}
        self._start("joint_inference/cloud_worker.py", "cloudworker-demo", {**ji, **self._scraped(cloud_metrics)})
        self._start("joint_inference/edge_worker.py", "edgeworker-demo", {**ji, **self._scraped(edge_metrics)})
        il = {"JOB_NAME": "digits-incremental", "NODE_NAME": "edge-node"}
        self._start("incremental_learning/worker.py", "train-worker-demo", il)
        ll = {"JOB_NAME": "digits-lifelong", "KB_SERVER": "http://kb:9020", "NODE_NAME": "edge-node"}
        self._start("lifelong_learning/worker.py", "train-worker-demo-ll", ll)
        fl = {"JOB_NAME": "digits-federated", "AGG_BIND_PORT": str(aggregator), "AGG_PORT": str(aggregator)}
        self._start("federated_learning/aggregator.py", "aggworker-demo", {**fl, "NODE_NAME": "cloud-node"})
        for number, part in enumerate(("0:300", "300:700", "700:1500"), start=1):
            own = {"NODE_NAME": f"edge-node-{number}", "DATASET_NAME": f"digits-{number}", "DATASET_SLICE": part}
            self._start("federated_learning/train_worker.py", f"trainworker-demo{number}", {**fl, **own})

    def _scraped(self, port: int) -> Dict[str, str]:
        return {"SEDNA_METRICS_PORT": str(port), "SEDNA_METRICS_HOST": "127.0.0.1"}

    def _start(self, script: str, worker: str, environment: Dict[str, str]) -> None:
        log = (self.folder / f"{worker}.log").open("w")
        environment = {
            **os.environ,
            "NAMESPACE": "demo",
            "WORKER_NAME": worker,
            "DEMO_FOLDER": str(self.folder),
            "SEDNA_METRICS_PUSHGATEWAY_URL": self.backend.push_url,
            "SEDNA_METRICS_PUSH_INTERVAL": "0.5",
            "SEDNA_METRICS_SPOOL_DIR": str(self.folder / "spool"),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        task = environment.get("JOB_NAME") or environment["SERVICE_NAME"]
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / script)], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        self.processes[worker] = (task, process)

    def truth(self) -> Dict[str, List[Dict[str, Any]]]:
        """What each finished worker says should be seen."""
        return {path.stem: json.loads(path.read_text()) for path in self.folder.glob("*worker-*.json")}

    def failures(self) -> List[str]:
        """Workers that ended badly, with the end of their log."""
        return [
            f"{worker} ended with status {process.returncode}:\n{(self.folder / f'{worker}.log').read_text()[-2000:]}"
            for worker, (_, process) in self.processes.items()
            if process.poll() not in (None, 0)
        ]

    def stop(self) -> None:
        (self.folder / "stop").touch()
        for _, process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


#: What the bars show: task, series, and what it comes to.
BARS = (
    ("digits-joint-inference", "sedna_inference_samples_total", 897),
    ("digits-incremental", "sedna_training_step_duration_seconds_count", 3 * 12 * 8),
    ("digits-lifelong", "sedna_training_step_duration_seconds_count", 3 * 10 * 4),
    ("digits-federated", "sedna_aggregation_round", 5),
)


def watch(demo: Demo) -> None:
    """Show live how far the tasks are, by their own metrics, until all are done."""
    columns = (TextColumn("{task.description:42}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = [progress.add_task(f"{task} {series[6:26]}", total=total) for task, series, total in BARS]
        done_at = None
        while True:
            shown = [demo.backend.value(series, {"task": task}) or 0 for task, series, _ in BARS]
            for bar, value, (_, _, total) in zip(bars, shown, BARS):
                progress.update(bar, completed=min(value, total))
            if demo.failures():
                raise SystemExit("\n".join(demo.failures()))
            if len(demo.truth()) == len(demo.processes):
                done_at = done_at or time.monotonic()
                # The bars are what Prometheus has seen, which is a scrape behind.
                if time.monotonic() > done_at + 5 or all(value >= bar[2] for value, bar in zip(shown, BARS)):
                    break
            if time.monotonic() > deadline:
                raise SystemExit(f"not done after {TIMEOUT_SECONDS} seconds; done are: {', '.join(demo.truth())}")
            time.sleep(0.3)


def settle(demo: Demo) -> None:
    """Wait until what the workers emitted last has been scraped; what differs after that will go on to differ."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(demo.backend.settle_seconds)
        if all(_is_same(shown, row) for _, row, shown in _seen(demo)):
            return


def compare(demo: Demo) -> int:
    """Print the table; gives the number of rows that differ."""
    settle(demo)
    table = Table(title=f"What {demo.backend.name} shows, and what happened", title_justify="left")
    for column, justify in (
        ("proposal", "left"),
        ("series", "left"),
        ("shown", "right"),
        ("truth", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")
    wrong = rows = 0
    last = ""
    for worker, row, shown in _seen(demo):
        if worker != last:
            table.add_section()
            table.add_row(f"[bold]{demo.processes[worker][0]}", f"[bold]{worker}", "", "", "")
            last = worker
        same = _is_same(shown, row)
        wrong, rows = wrong + (not same), rows + 1
        labels = ", ".join(f"{name}={value}" for name, value in row["labels"].items())
        series = row["series"] + (f" {{{labels}}}".replace(str(demo.folder), "...") if labels else "")
        mark = "[green]same" if same else "[bold red]DIFFERENT"
        table.add_row(row["proposal"], series, _short(shown), _short(row["value"]), mark)
    console.print(table)
    console.print(f"{rows - wrong} of {rows} values are as they should be.")
    return wrong


def _seen(demo: Demo) -> Iterator[Tuple[str, Dict[str, Any], Optional[float]]]:
    """Worker, expectation and what is shown, one by one."""
    for worker, expectations in sorted(demo.truth().items()):
        for row in expectations:
            labels = {"task": demo.processes[worker][0], "worker": worker, **row["labels"]}
            yield worker, row, demo.backend.value(row["series"], labels)


def _is_same(shown: Optional[float], row: Dict[str, Any]) -> bool:
    return shown is not None and math.isclose(shown, row["value"], rel_tol=1e-12, abs_tol=1e-12)


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}"


def main() -> int:
    """Run the demo; gives its exit status, 0 if everything is as it should be."""
    reasons = servers.fetch()
    started = time.monotonic()
    ports = free_ports(6)
    workers, (prometheus_port, gateway_port) = ports[:4], ports[4:]
    targets = [f"127.0.0.1:{port}" for port in workers[1:3]]
    with tempfile.TemporaryDirectory(prefix="sedna-demo-") as name:
        folder = Path(name)
        if os.environ.get("DEMO_EMBEDDED") or reasons:
            for program, reason in reasons.items():
                console.print(f"{program} cannot be had: {reason}")
            console.print("Using an embedded scraper and receiver.")
            backend: Backend = Embedded(targets)
        else:
            backend = Real(folder, prometheus_port, gateway_port, targets)
            console.print(f"Using {backend.name}.")
        try:
            demo = Demo(folder, backend, workers)
            try:
                watch(demo)
                wrong = compare(demo)
            finally:
                demo.stop()
        finally:
            backend.close()
    console.print(f"{time.monotonic() - started:.0f} seconds.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
