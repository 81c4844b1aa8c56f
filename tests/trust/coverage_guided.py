"""``make fuzz``: atheris on the parsers of our own, for a bounded time each. Says how many inputs were run."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS = 30
TARGETS = ("spool", "settings", "identity", "snapshot", "targets", "page", "group", "head")


def fuzz(target: str) -> None:
    """Run in a process of its own: atheris ends it."""
    import atheris

    with atheris.instrument_imports(include=["sedna_metrics"]):
        import sedna_metrics
        from sedna_metrics import metrics, settings
        from sedna_metrics.catalogue import BY_NAME
        from sedna_metrics.cli._top import Watch
        from sedna_metrics.cli._workers import figures, samples_by_worker, table
        from sedna_metrics.errors import SettingError
        from sedna_metrics.exposition.pushgateway import group_path, grouping_key
        from sedna_metrics.exposition.spool import Spool
        from sedna_metrics.identity import WorkerIdentity
    import logging
    import socket

    logging.disable()
    folder = Path(tempfile.mkdtemp())
    spool = Spool(folder, 2**20, 600)
    spool.put("http://gateway:9091", group_path(WorkerIdentity.from_env({}).grouping_key()), b"x 1\n")
    (spooled,) = folder.glob("*.spool")
    seed = spooled.read_bytes()
    names = [setting.variable for setting in settings.TABLE]
    own = ["JOB_NAME", "SERVICE_NAME", "WORKER_NAME", "NAMESPACE", "NODE_NAME", "DATASET_NAME", "MODEL_URL"]

    def read_spool(data: bytes) -> None:
        spooled.write_bytes(data if data[:1] != b"+" else seed[: len(data)] + data[1:])
        for entry in spool.entries():
            assert entry.group.startswith("/metrics/job")

    def read_settings(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        environ = {provider.PickValueInList(names): provider.ConsumeUnicode(60) for _ in range(4)}
        try:
            settings.load(environ)
        except SettingError:
            return

    def read_identity(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        environ = {name: provider.ConsumeUnicode(60) for name in own}
        identity = WorkerIdentity.from_env(environ, provider.ConsumeUnicode(60), "script.py")
        assert group_path(identity.grouping_key()).isascii()

    def read_snapshot(data: bytes) -> None:
        """What a child process has written."""
        provider = atheris.FuzzedDataProvider(data)

        def value(depth: int = 0) -> Any:
            kinds = provider.ConsumeIntInRange(0, 5 if depth < 3 else 3)
            if kinds == 4:
                return [value(depth + 1) for _ in range(provider.ConsumeIntInRange(0, 17))]
            if kinds == 5:
                return {provider.PickValueInList(["url", "client", "x"]): value(depth + 1)}
            simple = (None, provider.ConsumeInt(4), provider.ConsumeFloat(), provider.ConsumeUnicode(20))
            return simple[kinds]

        rows = [
            [
                provider.PickValueInList([*BY_NAME, "x"]),
                [value(2) for _ in range(provider.ConsumeIntInRange(0, 2))],
                value(),
            ]
            for _ in range(3)
        ]
        instruments = metrics.Instruments({"task": "t", "worker": "w"}, (1.0,), 10)
        try:
            metrics.merge(instruments, {}, metrics.parse(rows))
        except ValueError:
            return
        instruments.render()

    def read_targets(data: bytes) -> None:
        """A file_sd file, for top."""
        (folder / "sedna-x.json").write_bytes(data)
        for url in Watch(argparse.Namespace(sources=[str(folder)])).targets():
            assert url.startswith(("http://", "https://"))
            assert "@" not in url

    def read_page(data: bytes) -> None:
        """An exposition, for top; whatever it raises is shown as a problem of the source."""
        try:
            found = samples_by_worker(data.decode("utf-8", "replace"))
        except Exception:
            return
        table([figures(who, samples, {}, 1.0) for who, samples in found.items()])

    def read_group(data: bytes) -> None:
        """A path in a spool file."""
        path = data.decode("utf-8", "replace")
        try:
            grouping_key(path)
        except ValueError:
            return
        assert path.startswith("/metrics/job")
        assert ".." not in path.split("/")

    def read_head(data: bytes) -> None:
        """A request's head: the next client is answered all the same."""
        for sent in (data, b"GET /healthz HTTP/1.0\r\n\r\n"):
            with socket.create_connection(address, timeout=5) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.endswith(b"ok\n")

    if target == "head":
        worker = sedna_metrics.start(export="pull", host="127.0.0.1", port=0, log="off", environ={})
        address = ("127.0.0.1", int(str(worker.url).split(":")[2].split("/")[0]))
    run = {
        "spool": read_spool, "settings": read_settings, "identity": read_identity, "snapshot": read_snapshot,
        "targets": read_targets, "page": read_page, "group": read_group, "head": read_head,
    }[target]  # fmt: skip
    atheris.Setup([sys.argv[0], f"-max_total_time={SECONDS}", "-verbosity=0", "-print_final_stats=1"], run)
    atheris.Fuzz()


def main() -> int:
    """All targets; 1 if one of them found something."""
    failed = 0
    for target in TARGETS:
        done = subprocess.run([sys.executable, __file__, target], capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{target}: {said[-1].split()[-1] if said else '?'} inputs, status {done.returncode}")
        if done.returncode:
            failed = 1
            print(done.stderr[-3000:])
    return failed


if __name__ == "__main__":
    if sys.argv[1:]:
        fuzz(sys.argv[1])
    else:
        sys.exit(main())
