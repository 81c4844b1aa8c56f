"""``make trust``: the fault matrix and the long runs, written into docs/reliability.md."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import running_pushgateway  # noqa: E402

import sedna_metrics  # noqa: E402
from trust import load  # noqa: E402
from trust.faults import CASES, COUNTED, places, run  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
MARK = "<!-- Written by make trust from here on -->\n"


def faults() -> List[str]:
    """Rows of the matrix."""
    rows: Dict[str, List[str]] = {}
    with tempfile.TemporaryDirectory() as name, places() as found, ThreadPoolExecutor(2) as pool:
        jobs = [
            (case, [pool.submit(run, case, Path(name) / f"{n}-{control}", found, control) for control in (False, True)])
            for n, case in enumerate(CASES)
        ]
        for case, (ours, control) in jobs:
            seen, expected = ours.result(), control.result()
            is_same = seen["results"] == expected["results"] and seen["status"] == expected["status"] == case.status
            if seen["is_hit"] != case.is_hit:
                raise RuntimeError(f"{case.group}: {case.name}: the library did not run into the fault")
            counted = {series: (seen["counted"] or {}).get(series) for series in COUNTED} == COUNTED
            rows.setdefault(case.group, []).append(
                f"| {case.group} | {case.name} | {'the same' if is_same else '**DIFFERENT**'} | {seen['status']} "
                f"| {'all' if counted else 'more' if not case.counts else '**not all**'} |"
            )
    return [row for group in rows.values() for row in group]


def main() -> int:
    """Run everything and write the page."""
    began = time.monotonic()
    matrix = faults()
    increments, torn = load.increments(10_000_000), load.torn(10_000)
    with tempfile.TemporaryDirectory() as folder, running_pushgateway(Path(folder)) as gateway:
        soak = load.soak(1.0, gateway.url)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    text = "\n".join(
        [
            "",
            f"Written on {time.strftime('%Y-%m-%d')} by sedna-metrics {sedna_metrics.__version__} on Python "
            f"{platform.python_version()} ({machine}), in {time.monotonic() - began:.0f} s.",
            "",
            "## Long runs",
            "",
            "| what | how much | seen |",
            "|---|---|---|",
            f"| updates from {load.THREADS} threads at once, of {increments['threads']} that came and went, under "
            f"{increments['scrapes']} scrapes | {increments['updates']:,} | {increments['lost']} lost |",
            f"| scrapes of a histogram under four threads that observe ({torn['observations']:,} observations) "
            f"| {torn['scrapes']:,} | {torn['torn']} torn |",
            f"| an hour's worth of inferences, scrapes and pushes | {soak['updates']:,} inferences, {soak['looks']} "
            f"scrapes and pushes | {soak['kilobytes']} KiB, {soak['threads']} threads, {soak['files']} file "
            "descriptors more at the end than after a third |",
            "",
            "## Fault matrix",
            "",
            f"{len(matrix)} faults. A script with three kinds of inference and a training was run with and without the "
            "library: *results* are what its functions gave and raised, *status* is how the process ended.",
            "",
            "| | fault | results and status | status | counted |",
            "|---|---|---|---|---|",
            *matrix,
            "",
        ]
    )
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(head + MARK + text, encoding="utf-8")
    print(text)
    return 1 if "**" in text or increments["lost"] or torn["torn"] else 0


if __name__ == "__main__":
    sys.exit(main())
