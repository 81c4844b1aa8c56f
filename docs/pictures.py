"""Draws the dashboards: the panels' own queries, asked of a real Prometheus that has seen the examples' tasks.

Grafana itself is in no package registry; these pictures show what it is asked to show, in the same arrangement. Run by
``make pictures``.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import matplotlib
import requests

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
import servers  # noqa: E402
from cluster import cluster  # noqa: E402
from dashboards import DASHBOARDS, filled  # noqa: E402
from stack import Stack, demo  # noqa: E402
from support import eventually, free_port  # noqa: E402

OUTPUT = ROOT / "docs" / "pictures"
RUNS = 3
WIDTH, CELL = 16.0, 0.32  # inches: the whole, and the height of one line of Grafana's grid
STEP_SECONDS = 1
COLORS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#fa6400", "#8ab8ff", "#ff9830", "#e02f44", "#37872d"]
NAMED = {"green": "#73bf69", "blue": "#5794f2", "purple": "#b877d9", "yellow": "#f2cc0c", "red": "#f2495c"}
BACK, PANEL, TEXT = "#111217", "#181b1f", "#ccccdc"

TASKS = {  # chosen on the boards of one kind: the examples', and those of the resources
    "joint_inference": "digits-joint-inference|helmet-detection-inference-example",
    "incremental_learning": "digits-incremental|helmet-detection-demo",
    "federated_learning": "digits-federated|surface-defect-detection",
    "lifelong_learning": "digits-lifelong|atcii",
}
KEYS = ("namespace", "task", "worker", "name", "model", "pod", "node")  # what tells the rows of a table apart

Series = Tuple[Dict[str, str], List[Tuple[float, float]]]


class Prometheus:
    """Asked for ranges, and for what is now."""

    def __init__(self, url: str, begin: float, end: float) -> None:
        self._url, self.begin, self.end = url, begin, end

    def range(self, expression: str) -> List[Series]:
        """Times and values of each series."""
        window = {"start": self.begin, "end": self.end, "step": STEP_SECONDS}
        return [
            (each["metric"], [(moment, float(value)) for moment, value in each["values"]])
            for each in self._ask("query_range", query=expression, **window)
        ]

    def now(self, expression: str) -> List[Tuple[Dict[str, str], float]]:
        """Value of each series."""
        return [
            (each["metric"], float(each["value"][1])) for each in self._ask("query", query=expression, time=self.end)
        ]

    def _ask(self, what: str, **parameters: Any) -> List[Dict[str, Any]]:
        answer = requests.get(f"{self._url}/api/v1/{what}", params=parameters, timeout=30).json()
        return answer["data"]["result"]  # type: ignore[no-any-return]


def shown(value: float, unit: str) -> str:
    """The number, as Grafana writes it in this unit."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    if unit == "dateTimeFromNow":
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(value / 1000))
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    return f"{value:.4g}" + (" req/s" if unit == "reqps" else "")


def legend(template: str, labels: Dict[str, str]) -> str:
    """The legend with the labels' values."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template)


class Panel:
    """Draws one panel into its place."""

    def __init__(self, axes: Axes, panel: Dict[str, Any], source: Prometheus, log: Sequence[str], task: str) -> None:
        self.axes, self.panel, self.source, self.log, self.task = axes, panel, source, log, task
        self.defaults = panel["fieldConfig"]["defaults"]
        self.unit = self.defaults.get("unit", "")
        axes.set_facecolor(PANEL)
        axes.set_title(panel["title"], loc="left", fontsize=8, color=TEXT, fontweight="bold")
        for side in axes.spines.values():
            side.set_color("#2c3235")
        axes.tick_params(colors=TEXT, labelsize=6)
        draw = getattr(self, "draw_" + panel["type"].replace("-", "_"))
        if not draw():
            axes.text(0.5, 0.5, "no data here", transform=axes.transAxes, ha="center", color="#6e7077", fontsize=8)

    def queries(self) -> List[Tuple[str, str]]:
        """Legend and expression."""
        span = f"{int(self.source.end - self.source.begin)}s"
        return [
            (each.get("legendFormat", ""), filled(each["expr"], rate_interval="6s", __range=span, task=self.task))
            for each in self.panel["targets"]
        ]

    def ranges(self) -> List[Tuple[str, List[Tuple[float, float]]]]:
        return [
            (legend(template, labels), values)
            for template, expression in self.queries()
            for labels, values in self.source.range(expression)
        ]

    def values(self) -> List[Tuple[str, float]]:
        return [
            (legend(template, labels), value)
            for template, expression in self.queries()
            for labels, value in self.source.now(expression)
        ]

    def bare(self) -> None:
        self.axes.set_xticks([])
        self.axes.set_yticks([])

    def time_axis(self) -> None:
        ticks = [self.source.begin + part * (self.source.end - self.source.begin) for part in (0, 0.25, 0.5, 0.75, 1)]
        self.axes.set_xlim(self.source.begin, self.source.end)
        self.axes.set_xticks(ticks, [time.strftime("%H:%M:%S", time.gmtime(tick)) for tick in ticks])

    def draw_timeseries(self) -> bool:
        if self.panel["datasource"]["type"] == "loki":
            return self.draw_log_volume()
        found = self.ranges()
        for number, (name, values) in enumerate(found):
            moments, heights = zip(*values)
            self.axes.plot(moments, heights, color=COLORS[number % len(COLORS)], linewidth=1, label=name[:40])
        self.axes.grid(color="#2c3235", linewidth=0.5)
        self.axes.yaxis.set_major_formatter(lambda value, _: shown(value, self.unit))
        self.time_axis()
        if found:
            low, high = self.axes.get_ylim()
            self.axes.set_ylim(min(low, 0), high)
            self.axes.legend(fontsize=6, loc="upper left", frameon=False, labelcolor=TEXT, ncols=2)
        return bool(found)

    def draw_stat(self) -> bool:
        self.bare()
        found = self.ranges()[:4]
        for number, (name, values) in enumerate(found):
            middle = (number + 0.5) / len(found)
            last = values[-1][1]
            text = shown(last, self.unit)
            self.axes.text(
                middle, 0.62, text, transform=self.axes.transAxes, ha="center", va="center", color=NAMED["green"],
                fontsize=15 if len(found) == 1 else 9,
            )  # fmt: skip
            self.axes.text(middle, 0.36, name[:24], transform=self.axes.transAxes, ha="center", color=TEXT, fontsize=6)
            spark = self.axes.inset_axes((number / len(found), 0, 1 / len(found), 0.3))
            moments, heights = zip(*values)
            spark.fill_between(moments, heights, min(heights), color=NAMED["green"], alpha=0.3)
            spark.axis("off")
        return bool(found)

    def draw_piechart(self) -> bool:
        found = [(name, value) for name, value in self.values() if value > 0]
        self.bare()
        if found:
            names, parts = zip(*found)
            self.axes.pie(
                parts, labels=names, autopct="%1.0f%%", colors=COLORS, wedgeprops={"width": 0.45},
                textprops={"color": TEXT, "fontsize": 7},
            )  # fmt: skip
        return bool(found)

    def draw_heatmap(self) -> bool:
        ((_, expression),) = self.queries()
        by_edge = {float(labels["le"]): dict(values) for labels, values in self.source.range(expression)}
        edges = sorted(by_edge)
        moments = sorted({moment for values in by_edge.values() for moment in values})
        if not edges:
            return False
        rows, below = [], dict.fromkeys(moments, 0.0)
        for edge in edges:
            here = {moment: by_edge[edge].get(moment, 0.0) for moment in moments}
            rows.append([max(0.0, here[moment] - below[moment]) or float("nan") for moment in moments])
            below = here
        self.axes.pcolormesh(moments, range(len(edges)), rows, cmap="Oranges", shading="nearest")
        self.axes.set_yticks(range(0, len(edges), 3), [shown(edge, "s") for edge in edges[::3]])
        self.time_axis()
        return True

    def draw_state_timeline(self) -> bool:
        names = self.defaults["mappings"][0]["options"]
        found = self.ranges()
        for row, (_, values) in enumerate(found):
            for moment, value in values:
                color = NAMED.get(names.get(str(int(value)), {}).get("color", ""), "#6e7077")
                self.axes.barh(row, STEP_SECONDS, left=moment, height=0.8, color=color, linewidth=0)
            begun, state = values[0]
            for moment, value in [*values[1:], (self.source.end, None)]:
                if value != state:
                    text = names.get(str(int(state)), {}).get("text", "")
                    if moment - begun > 0.08 * (self.source.end - self.source.begin):
                        self.axes.text(begun, row, f" {text}", va="center", fontsize=6, color="#111217")
                    begun, state = moment, value
        self.axes.set_yticks(range(len(found)), [name[-22:] for name, _ in found])
        self.axes.invert_yaxis()
        self.time_axis()
        return bool(found)

    def draw_table(self) -> bool:
        self.bare()
        organize = self.panel["transformations"][-1]["options"]
        columns, headings = sorted(organize["indexByName"], key=organize["indexByName"].get), organize["renameByName"]
        rows: Dict[Tuple[str, ...], Dict[str, str]] = {}
        several = len(self.panel["targets"]) > 1
        for target, (_, expression) in zip(self.panel["targets"], self.queries()):
            for labels, value in self.source.now(expression):
                key = tuple(
                    labels.get(column, "") for column in ("namespace", "task", "worker", "name", "model", "pod", "node")
                )
                row = rows.setdefault(key[:4] if several else key, {})
                row.update({name: text for name, text in labels.items() if name in columns})
                unit = "dateTimeFromNow" if "* 1000" in expression else "short"
                row[f"Value #{target['refId']}" if several else "Value"] = shown(value, unit)
        body = [[row.get(column, "")[-26:] for column in columns] for row in rows.values()][:8]
        if body:
            table = self.axes.table(body, colLabels=[headings[column] for column in columns], loc="upper center")
            table.auto_set_font_size(False)
            table.set_fontsize(6)
            for cell in table.get_celld().values():
                cell.set(facecolor=PANEL, edgecolor="#2c3235")
                cell.get_text().set_color(TEXT)
        return bool(body)

    def draw_barchart(self) -> bool:
        by = self.panel["options"]["xField"]
        groups: Dict[str, Dict[str, float]] = {}
        for template, expression in self.queries():
            for labels, value in self.source.now(expression):
                groups.setdefault(labels.get(by, ""), {})[template] = value
        for number, name in enumerate(dict.fromkeys(name for group in groups.values() for name in group)):
            places = [index + 0.4 * number - 0.2 for index in range(len(groups))]
            heights = [group.get(name, 0.0) for group in groups.values()]
            bars = self.axes.bar(places, heights, 0.38, color=COLORS[number], label=name)
            self.axes.bar_label(bars, fmt="%.3f", fontsize=6, color=TEXT)
        self.axes.set_xticks(range(len(groups)), list(groups))
        if groups:
            self.axes.legend(fontsize=6, frameon=False, labelcolor=TEXT)
        return bool(groups)

    def draw_bargauge(self) -> bool:
        found = self.values()
        self.axes.barh(range(len(found)), [value for _, value in found], color=COLORS[0])
        self.axes.set_yticks(range(len(found)), [name[-30:] for name, _ in found])
        for row, (_, value) in enumerate(found):
            self.axes.text(0, row, f" {shown(value, self.unit)}", va="center", fontsize=7, color="#111217")
        self.axes.invert_yaxis()
        return bool(found)

    def draw_log_volume(self) -> bool:
        counted: Dict[str, Dict[int, int]] = {}
        for line in self.log:
            record = json.loads(line)
            moment = int(_seconds(record["timestamp"]))
            counted.setdefault(record["level"], {}).setdefault(moment, 0)
            counted[record["level"]][moment] += 1
        for number, (level, values) in enumerate(counted.items()):
            self.axes.bar(list(values), list(values.values()), color=COLORS[number], label=level)
        self.time_axis()
        if counted:
            self.axes.legend(fontsize=6, frameon=False, labelcolor=TEXT)
        return bool(counted)

    def draw_logs(self) -> bool:
        self.bare()
        if "controller" in self.panel["targets"][0]["expr"]:
            return False
        for row, line in enumerate(self.log[-1:-22:-1]):
            record = json.loads(line)
            text = f"{record['timestamp'][11:23]}  {line[:200]}"
            self.axes.text(
                0.005, 0.97 - row * 0.046, text, transform=self.axes.transAxes, va="top", fontsize=6,
                family="monospace", color=TEXT, parse_math=False,
            )  # fmt: skip
        return bool(self.log)


def _seconds(timestamp: str) -> float:
    return calendar.timegm(time.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S"))


def draw(name: str, source: Prometheus, log: Sequence[str]) -> Path:
    """One dashboard; gives the picture's path."""
    board = DASHBOARDS[name]
    task = TASKS.get(name, ".*")
    own = [line for line in log if re.search(f'"task":"({task})"', line)]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) + 2
    figure = plt.figure(figsize=(WIDTH, height * CELL), facecolor=BACK)
    note = "drawn from the panels' queries by a plotting library; Grafana's own look differs"
    figure.text(0.01, 1 - 0.9 / height, board["title"], fontsize=14, color=TEXT, fontweight="bold")
    figure.text(0.99, 1 - 0.9 / height, note, fontsize=8, color="#8e8e99", ha="right")
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, bottom = place["x"] / 24, 1 - (place["y"] + place["h"] + 2) / height
        if panel["type"] == "row":
            figure.text(0.01, bottom + 0.3 / height, panel["title"], fontsize=10, color=TEXT)
            continue
        wide = panel["type"] in ("state-timeline", "bargauge")
        margins = (0.07 if wide else 0.03 if panel["type"] in ("timeseries", "heatmap", "barchart") else 0.006, 0.004)
        box = (left + margins[0], bottom + 0.7 / height, place["w"] / 24 - sum(margins), (place["h"] - 1.5) / height)
        Panel(figure.add_axes(box), panel, source, own, task)
    path = OUTPUT / f"{name}.png"
    figure.savefig(path, dpi=90, facecolor=BACK)
    plt.close(figure)
    Image.open(path).quantize(64).save(path, optimize=True)
    return path


def main(only: Optional[str] = None) -> int:
    """Run the examples, then draw."""
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        server = Stack(folder, port)
        os.environ["SEDNA_METRICS_SD_DIR"] = str(server.targets)
        stack.callback(server.close)
        config = folder / "stack" / "kube-state-metrics" / "custom-resource-state.yml"
        program = servers.Build("kube-state-metrics").wait()
        resources = stack.enter_context(cluster(program, config, port, free_port(), folder / "log"))
        eventually(resources.is_complete, 60)
        began = ended = time.time()
        log: List[str] = []
        for run in range(RUNS):
            (folder / str(run)).mkdir()
            tasks = server.demo(folder / str(run))
            try:
                demo.watch(tasks)
                ended = time.time()
            finally:
                tasks.stop()
            for path in (folder / str(run)).glob("*.log"):
                log += [line for line in path.read_text().splitlines() if line.startswith('{"timestamp"')]
        source = Prometheus(server.url, began, ended)
        for board in [only] if only else DASHBOARDS:
            print(draw(board, source, sorted(log)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
