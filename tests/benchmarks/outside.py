"""What is seen from outside: a scrape's cost, import and start, memory, bytes on the wire."""

from __future__ import annotations

import compileall
import resource
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Callable, List

import peers
import prometheus_client
from harness import Row, compare, per_call
from hot_path import many_series

import sedna_metrics

#: By hand, as one finds it in tutorials: the same metrics of a joint inference worker, and a training's.
BY_HAND = """
import prometheus_client as p
from time import perf_counter
names = ["task", "worker"]
buckets = (.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 50, 60)
labels = dict(task="digits-joint-inference", worker="edgeworker-x2x5q")
for location in ("edge", "cloud"):
    made = globals().get("made") or (
        p.Counter("inferences", "Inferences that finished, by where.", [*names, "location"]),
        p.Counter("errors", "Inferences that raised, by where.", [*names, "location"]),
        p.Gauge("inferences_in_progress", "Inferences under way, by where.", [*names, "location"]),
        p.Histogram("duration_seconds", "Time that inferences took, by where.", [*names, "location"], buckets=buckets),
        p.Counter("hard_samples", "Samples that the miner called hard.", names),
        p.Counter("inference_samples", "Samples put to the task.", names),
    )
    count, errors, in_progress, duration = (each.labels(**labels, location=location) for each in made[:4])
    hard, samples = made[4].labels(**labels), made[5].labels(**labels)
    for index in range(1000):
        in_progress.inc(); count.inc(); duration.observe(index / 1e4); in_progress.dec(); samples.inc()
        if index % 3 == 0: hard.inc()
"""
OURS = """
import sedna_metrics
worker = sedna_metrics.start(export="{export}", host="127.0.0.1", port=0, log="off", **{more},
    environ=dict(SERVICE_NAME="digits-joint-inference", WORKER_NAME="edgeworker-x2x5q"))
ji = worker.joint_inference
for infer in (ji.edge_inference, ji.cloud_inference):
    for index in range(1000):
        with infer(): pass
        ji.hard_sample(index % 3 == 0)
"""


def scrape(rounds: int) -> List[Row]:
    """Writing 1,000 series, and that both write the same."""
    prometheus_client.disable_created_metrics()
    registry = prometheus_client.CollectorRegistry()
    with peers.worker() as worker:
        write = many_series(worker, registry, 1000)
        assert _lines(write()) == _lines(prometheus_client.generate_latest(registry)), "not the same text"
        return compare(
            "one scrape of 1,000 series",
            {
                "ours": per_call(write, 20),
                "prometheus_client": per_call(lambda: prometheus_client.generate_latest(registry), 5),
            },
            "ours",
            {"prometheus_client": 0.12},
            rounds,
        )


def start(rounds: int) -> List[Row]:
    """Importing, starting with a server, and the memory of that."""
    # As pip does when it installs a package; a checkout may run where nothing is allowed to write byte code.
    compileall.compile_dir(str(Path(sedna_metrics.__file__).parent), quiet=1)
    ours_start = 'import sedna_metrics; sedna_metrics.start(host="127.0.0.1", port=0, log="off", environ={})'
    theirs_start = "import prometheus_client as p; p.start_http_server(0, '127.0.0.1')"
    rows = compare(
        "import",
        {
            "import sedna_metrics": _process("import sedna_metrics"),
            "import prometheus_client": _process("import prometheus_client"),
        },
        "import sedna_metrics",
        {"import prometheus_client": 0.25},
        rounds,
        "ms",
    )
    rows += compare(
        "import and start, with /metrics",
        {"ours": _process(ours_start), "prometheus_client": _process(theirs_start)},
        "ours",
        {"prometheus_client": 1.25},
        rounds,
        "ms",
    )
    rows += compare(
        "memory of that, beyond the interpreter's",
        {"ours": _memory(ours_start), "prometheus_client": _memory(theirs_start)},
        "ours",
        {"prometheus_client": 1.2},
        max(3, rounds // 3),
        "kB",
    )
    return rows


def growth_of_memory(number: int) -> List[Row]:
    """Resident memory before and after many updates."""
    script = f"""
        import resource, sedna_metrics
        worker = sedna_metrics.start(export="off", log="off", environ={{}})
        f, hard = worker.joint_inference.edge_inference(lambda: None), worker.joint_inference.hard_sample
        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024
        for _ in range(20_000): f(); hard()
        before = rss()
        for _ in range({number}): f(); hard()
        print(rss() - before)
    """
    grown = int(subprocess.check_output([sys.executable, "-c", textwrap.dedent(script)], text=True))
    ratio = max(0.0, grown / 512)
    return [Row(f"memory grown in {2 * number:,} updates", "ours", f"{grown} kB", ratio, "512 kB", 1.0)]


def wire() -> List[Row]:
    """Bytes of a scrape and of a push, as they go over the wire, head aside."""
    tail = """
import urllib.request, gzip
request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip" if zipped else "identity"})
print(len(urllib.request.urlopen(request).read()))
"""
    ours = OURS.format(export="pull", more={}) + "\nurl, zipped = worker.url, True\n" + tail
    theirs = (
        BY_HAND
        + "\nserver, _ = p.start_http_server(0, '127.0.0.1')\nurl = f'http://127.0.0.1:{server.server_port}/metrics'\n"
    )
    results = {
        "ours": _number(ours),
        "prometheus_client, gzip asked for": _number(theirs + "zipped = True\n" + tail),
        "prometheus_client, plain": _number(theirs + "zipped = False\n" + tail),
        "prometheus_client's push": _number(theirs + "print(len(p.generate_latest()))"),
        "ours pushed": _number(OURS.format(export="off", more={}) + _PUSHED),
    }
    rows = [Row("bytes of a scrape", "ours, gzip", f"{results['ours']:,}", None, "", None)]
    for peer, target in (("prometheus_client, plain", 0.2), ("prometheus_client, gzip asked for", None)):
        rows.append(Row("", peer, f"{results[peer]:,}", results["ours"] / results[peer], peer, target))
    pushed, other = results["ours pushed"], results["prometheus_client's push"]
    rows.append(Row("bytes of a push", "ours", f"{pushed:,}", None, "", None))
    rows.append(Row("", "prometheus_client", f"{other:,}", pushed / other, "prometheus_client", 0.2))
    return rows


_PUSHED = """
from sedna_metrics.exposition._render import gzip
print(len(gzip(worker._instruments.render().encode())))
"""


def _lines(text: bytes) -> List[bytes]:
    return text.splitlines()


def _process(code: str) -> Callable[[], float]:
    """A variant: milliseconds of CPU for a process that runs ``code``, less an empty one's, in turn."""

    def measure() -> float:
        return max(0.01, _cpu(code) - _cpu("pass"))

    return measure


def _cpu(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _memory(code: str) -> Callable[[], float]:
    look = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    return lambda: float(_number(code + look) - _number("pass" + look))


def _number(code: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", code], text=True).split()[-1])
