"""What workers cost one Prometheus: a real one scrapes 1 to 1,000 targets, each with a real worker's exposition.

The targets are simulated by one server that answers for all of them, so that what is measured is the Prometheus.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, List, NamedTuple

import requests

import sedna_metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import servers
from support import Server, eventually, free_port

INTERVAL_SECONDS = 5
COUNTS = (1, 10, 100, 1000)


class Cost(NamedTuple):
    """What so many workers came to."""

    workers: int
    series: float
    samples_per_second: float
    cpu_seconds_per_million_samples: float
    memory_bytes: float
    scrape_bytes: int


def run(seconds: float) -> List[Cost]:
    """Measure each number of workers for so many seconds."""
    program = servers.find("prometheus")
    if program is None:
        raise SystemExit("prometheus is not there: run tests/servers.py first")
    return [_measure(program, count, seconds) for count in COUNTS]


def exposition() -> str:
    """What a joint inference edge worker shows after a while."""
    environ = {"SERVICE_NAME": "task", "WORKER_NAME": "worker-0"}
    with sedna_metrics.start(export="off", log="off", environ=environ) as worker:
        ji = worker.joint_inference
        for infer in (ji.edge_inference, ji.cloud_inference):
            for _ in range(1000):
                with infer():
                    ji.hard_sample()
        return worker._instruments.render()


def _measure(program: str, count: int, seconds: float) -> Cost:
    text = exposition()
    bodies: Dict[str, bytes] = {
        str(number): gzip.compress(text.replace("worker-0", f"worker-{number}").encode(), 5) for number in range(count)
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            body = bodies[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    fleet = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fleet.daemon_threads = True
    threading.Thread(target=fleet.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = f"127.0.0.1:{fleet.server_port}"
        targets = "".join(
            f"      - {{targets: ['{address}'], labels: {{__metrics_path__: '/{number}', instance: 'w{number}'}}}}\n"
            for number in range(count)
        )
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {INTERVAL_SECONDS}s}}\n"
            f"scrape_configs:\n  - job_name: workers\n    static_configs:\n{targets}"
        )
        port = free_port()
        server = Server(
            [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"], port, folder / "log",
        )  # fmt: skip
        try:
            eventually(lambda: _own(server, "prometheus_tsdb_head_series") >= count * 50, 60)
            time.sleep(INTERVAL_SECONDS)
            before = (
                _own(server, "process_cpu_seconds_total"),
                _own(server, "prometheus_tsdb_head_samples_appended_total"),
            )
            time.sleep(seconds)
            cpu = _own(server, "process_cpu_seconds_total") - before[0]
            samples = _own(server, "prometheus_tsdb_head_samples_appended_total") - before[1]
            return Cost(
                count,
                _own(server, "prometheus_tsdb_head_series"),
                samples / seconds,
                cpu / samples * 1e6,
                _own(server, "process_resident_memory_bytes"),
                len(bodies["0"]),
            )
        finally:
            server.close()
            fleet.shutdown()
            fleet.server_close()


def _own(server: Server, name: str) -> float:
    for line in requests.get(f"{server.url}/metrics", timeout=10).text.splitlines():
        if line.startswith((name + " ", name + "{")):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def main() -> None:
    """Print a line for each number of workers."""
    version = subprocess.run([str(servers.find("prometheus")), "--version"], capture_output=True, text=True)
    print((version.stdout + version.stderr).splitlines()[0])
    for cost in run(30):
        print(
            f"{cost.workers:>5} workers: {cost.series:>9,.0f} series, {cost.samples_per_second:>9,.0f} samples/s, "
            f"{cost.cpu_seconds_per_million_samples:6.2f} CPU s for a million samples, "
            f"{cost.memory_bytes / 2**20:6.0f} MiB, {cost.scrape_bytes} bytes a scrape"
        )


if __name__ == "__main__":
    main()
