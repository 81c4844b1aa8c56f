"""``make fuzz``: atheris on the parsers of our own, for a bounded time each. Says how many inputs were run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 60
TARGETS = ("spool", "settings", "identity")


def fuzz(target: str) -> None:
    """Run in a process of its own: atheris ends it."""
    import atheris

    with atheris.instrument_imports(include=["sedna_metrics"]):
        from sedna_metrics import settings
        from sedna_metrics.errors import SettingError
        from sedna_metrics.exposition.pushgateway import group_path
        from sedna_metrics.exposition.spool import Spool
        from sedna_metrics.identity import WorkerIdentity
    import logging

    logging.disable()
    folder = Path(tempfile.mkdtemp())
    spool = Spool(folder, 2**20, 600)
    spool.put("/metrics/job/x", b"x 1\n")
    seed = next(folder.glob("*.spool")).read_bytes()
    names = [setting.variable for setting in settings.TABLE]
    own = ["JOB_NAME", "SERVICE_NAME", "WORKER_NAME", "NAMESPACE", "NODE_NAME", "DATASET_NAME", "MODEL_URL"]

    def read_spool(data: bytes) -> None:
        (folder / f"{'a' * 24}.spool").write_bytes(data if data[:1] != b"+" else seed[: len(data)] + data[1:])
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

    run = {"spool": read_spool, "settings": read_settings, "identity": read_identity}[target]
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
