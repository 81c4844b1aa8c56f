"""``make bench``: everything side by side, in one process on one machine, with ratios; see docs/performance.md."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import metadata
from typing import List

import hot_path
import log_records
import outside
import sedna_calls
from harness import Row
from rich.console import Console
from rich.table import Table

import sedna_metrics


def main() -> int:
    """Run it; gives 1 if a target is missed and ``--strict`` was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for a look, not for a figure")
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed")
    parser.add_argument("--markdown", action="store_true", help="print the rows of the table in docs/performance.md")
    parser.add_argument("--only", default="", help="parts to run, comma-separated")
    arguments = parser.parse_args()
    tenth = 10 if arguments.quick else 1
    rounds = 5 if arguments.quick else 21
    parts = {
        "calls": lambda: hot_path.calls(rounds, 20_000),
        "threads": lambda: hot_path.threads(rounds, 200_000 // tenth, [1, 2, 8, 16, 64]),
        "worst": lambda: hot_path.worst_case(10_000_000 // tenth, 2_000_000 // tenth),
        "sedna": lambda: sedna_calls.joint_inference(rounds, 20_000),
        "beside": lambda: hot_path.beside_a_scrape(rounds, 0.5),
        "scrape": lambda: outside.scrape(rounds),
        "logs": lambda: log_records.records(rounds, 10_000),
        "start": lambda: outside.start(rounds),
        "memory": lambda: outside.growth_of_memory(5_000_000 // tenth),
        "wire": outside.wire,
    }
    wanted = [name for name in arguments.only.split(",") if name] or list(parts)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(
        f"sedna-metrics {sedna_metrics.__version__}, Python {platform.python_version()}, prometheus_client "
        f"{metadata.version('prometheus_client')}, {platform.system()} {platform.machine()}, {_processor()}"
    )
    rows: List[Row] = []
    with console.status("") as status:
        for name in wanted:
            status.update(f"{name} ...")
            rows += parts[name]()
    table = Table(title="Medians; ratios are medians of rounds in which both ran", title_justify="left")
    for column in ("what", "who", "cost", "ours to theirs", "target", ""):
        table.add_column(column, justify="right" if column in ("cost", "ours to theirs", "target") else "left")
    for row in rows:
        mark = "" if row.target is None else "[green]met" if row.is_met else "[bold red]MISSED"
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        target = "" if row.target is None else f"{row.target:g}"
        table.add_row(row.what, row.variant, row.cost, ratio, target, mark)
        if arguments.markdown:
            met = "" if row.target is None else "met" if row.is_met else "**missed**"
            print(f"| {row.what} | {row.variant} | {row.cost} | {ratio} | {target} | {met} |")
    if not arguments.markdown:
        console.print(table)
    if not arguments.only or "growth" in wanted:
        for count, cost in hot_path.growth(rounds, 1).items():
            console.print(f"a scrape of {count:>7,} series: {cost:>9,.0f} us, {cost / count:.2f} us each")
    return 1 if arguments.strict and not all(row.is_met for row in rows) else 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        return platform.processor()
    return f"{len(models)} x {models[0]}" if models else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
