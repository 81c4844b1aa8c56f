"""Where the demo reads its numbers: a real Prometheus and Pushgateway, or stand-ins for machines without them."""

from __future__ import annotations

import gzip
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Protocol, Tuple

import requests
import servers
from prometheus_client.parser import text_string_to_metric_families

CONFIGURATION = """\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: sedna-workers
    static_configs: [{{targets: [{targets}]}}]
  - job_name: pushgateway
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{gateway}"]}}]
"""


class Prometheus:
    """Asks a Prometheus for values and curves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def now(self, expression: str, **more: Any) -> List[Tuple[Dict[str, str], float]]:
        """Labels and value of each series."""
        found = self._ask("query", query=expression, **more)
        return [(each["metric"], float(each["value"][1])) for each in found]

    def range(self, expression: str, start: float, end: float, step: float) -> List[Tuple[Dict[str, str], List[Any]]]:
        """Labels of each series, and its points: Unix time and value."""
        found = self._ask("query_range", query=expression, start=start, end=end, step=step)
        return [(each["metric"], [(moment, float(value)) for moment, value in each["values"]]) for each in found]

    def _ask(self, what: str, **parameters: Any) -> Any:
        answer = self._session.get(f"{self.url}/api/v1/{what}", params=parameters, timeout=30).json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters['query']}: {answer['error']}")
        return answer["data"]["result"]


class Backend(Protocol):
    """What the demo needs of it."""

    name: str
    push_url: str
    history: Optional[Prometheus]
    """Where the page's curves come from, if it keeps what it has seen."""

    def value(self, series: str, labels: Mapping[str, str]) -> Optional[float]:
        """The value of the first series that has these labels."""

    settle_seconds: float
    """How long it may take until what has been emitted can be read."""

    def close(self) -> None: ...


class Real:
    """Prometheus, which scrapes the services and the Pushgateway, asked in PromQL."""

    settle_seconds = 0.5

    def __init__(self, folder: Path, prometheus: int, gateway: int, targets: List[str]) -> None:
        config = folder / "prometheus.yml"
        quoted = ", ".join(f'"{target}"' for target in targets)
        config.write_text(CONFIGURATION.format(targets=quoted, gateway=gateway))
        self.history = Prometheus(f"http://127.0.0.1:{prometheus}")
        self.push_url = f"http://127.0.0.1:{gateway}"
        self.name = "a real Prometheus"
        commands = [
            [
                servers.find("prometheus-pushgateway"),
                f"--web.listen-address=127.0.0.1:{gateway}",
                "--persistence.file=",
            ],
            [
                servers.find("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
            ],
        ]
        self._processes: List[subprocess.Popen] = []
        try:
            for number, command in enumerate(commands):
                with (folder / f"server-{number}.log").open("w") as log:
                    self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            for url in (self.push_url, self.history.url):
                _wait_until_ready(f"{url}/-/ready")
        except BaseException:
            self.close()
            raise

    def value(self, series: str, labels: Mapping[str, str]) -> Optional[float]:
        matchers = ",".join(f"{name}={_quoted(value)}" for name, value in labels.items())
        found = self.history.now(f"{series}{{{matchers}}}")
        return found[0][1] if found else None

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)


class Embedded:
    """A receiver for pushes and a scraper on demand, for machines that cannot have the real ones."""

    settle_seconds = 0.1
    history = None

    def __init__(self, targets: List[str]) -> None:
        self.name = "the embedded scraper"
        self._targets = targets
        self._groups: Dict[str, str] = {}
        groups = self._groups

        class Receiver(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                zipped = self.headers.get("Content-Encoding") == "gzip"
                groups[self.path] = (gzip.decompress(body) if zipped else body).decode()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self._server.daemon_threads = True
        self.push_url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def value(self, series: str, labels: Mapping[str, str]) -> Optional[float]:
        for text in [*list(self._groups.values()), *map(_scrape, self._targets)]:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name == series and labels.items() <= sample.labels.items():
                        return sample.value
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _scrape(target: str) -> str:
    try:
        return requests.get(f"http://{target}/metrics", timeout=2).text
    except requests.ConnectionError:
        return ""  # not up yet


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _wait_until_ready(url: str) -> None:
    for _ in range(100):
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} does not get ready")
