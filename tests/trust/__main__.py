"""``make trust``: the fault matrix and the long runs; writes docs/reliability.md."""

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
    """Rows of the matrix: a group of faults each; a fault with another result has a row of its own."""
    passed: Dict[str, List[str]] = {}
    failed: List[str] = []
    with tempfile.TemporaryDirectory() as name, places() as found, ThreadPoolExecutor(2) as pool:
        jobs = [
            (case, [pool.submit(run, case, Path(name) / f"{n}-{control}", found, control) for control in (False, True)])
            for n, case in enumerate(CASES)
        ]
        for case, (ours, control) in jobs:
            seen, expected = ours.result(), control.result()
            if seen["is_hit"] != case.is_hit:
                raise RuntimeError(f"{case.group}: {case.name}: the library did not run into the fault")
            is_same = seen["results"] == expected["results"] and seen["status"] == expected["status"] == case.status
            counted = {series: (seen["counted"] or {}).get(series) for series in COUNTED} == COUNTED
            if is_same and counted >= case.counts:
                passed.setdefault(case.group, []).append(case.name)
            else:
                failed.append(f"| {case.group} | 1 | **{case.name}: {seen}, expected {expected}** |")
    return [f"| {group} | {len(names)} | {'; '.join(names)} |" for group, names in passed.items()] + failed


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
            f"Measured on {time.strftime('%Y-%m-%d')} with sedna-metrics {sedna_metrics.__version__} on Python "
            f"{platform.python_version()} ({machine}), in {time.monotonic() - began:.0f} s.",
            "",
            "## Long runs",
            "",
            "| test | amount | result |",
            "|---|---|---|",
            f"| updates by {load.THREADS} threads at once, {increments['threads']} in all, during "
            f"{increments['scrapes']} scrapes | {increments['updates']:,} updates | {increments['lost']} lost |",
            f"| scrapes of a histogram while four threads update it ({torn['observations']:,} times) "
            f"| {torn['scrapes']:,} scrapes | {torn['torn']} inconsistent |",
            f"| the work of an hour | {soak['updates']:,} inferences, {soak['looks']} scrapes and pushes "
            f"| growth after the first third: {soak['kilobytes']} KiB, {soak['threads']} threads, "
            f"{soak['files']} file descriptors |",
            "",
            "## Fault matrix",
            "",
            "A script with three kinds of inference and a training runs with each fault, with and without the library. "
            "Results, exceptions and exit status must be equal, and every inference must be counted (two of the faults "
            "change that number themselves).",
            "",
            "| group | faults | all passed |",
            "|---|---|---|",
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
