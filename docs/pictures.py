"""Draws the dashboards: the panels' own queries, asked of a real Prometheus that watches the examples' tasks.

Grafana itself is in no package registry; these pictures show what it is asked to show, in the same arrangement. Run by
``make pictures``, which takes 11 minutes.
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
from itertools import groupby
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
import servers  # noqa: E402
from cluster import cluster  # noqa: E402
from dashboards import DASHBOARDS, filled  # noqa: E402
from stack import Stack  # noqa: E402
from support import eventually, free_port  # noqa: E402

# isort: split
from backends import Prometheus  # noqa: E402  (it is in the demo's folder)

OUTPUT = ROOT / "docs" / "pictures"
TASK_SECONDS, SHOWN_SECONDS = 720, 600  # the tasks are still running when the pictures are drawn
STEP_SECONDS, HEATMAP_SECONDS = 5, 20
WIDTH, CELL, DPI = 14.0, 0.27, 100  # inches: the whole, and the height of one line of Grafana's grid
COLORS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#8ab8ff", "#e02f44", "#37872d", "#fade2a"]
NAMED = {"green": "#73bf69", "blue": "#5794f2", "purple": "#b877d9", "yellow": "#f2cc0c", "red": "#f2495c"}
LEVELS = {"INFO": "#73bf69", "WARNING": "#f2cc0c", "ERROR": "#f2495c"}
BACK, PANEL, LINE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d5d6e2", "#8e8e99"
STYLE = {
    "font.size": 10,
    "text.color": TEXT,
    "axes.facecolor": PANEL,
    "axes.edgecolor": LINE,
    "grid.color": LINE,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.parse_math": False,
}

PICTURES = {  # the rows of each board, a picture for each tuple
    "overview": (("Now",), ("Inference", "Learning")),
    "joint_inference": (("Inference", "Latency"), ("Cloud worker and service",)),
    "incremental_learning": (("Stages", "Iteration"), ("Training",), ("Evaluation", "Inference")),
    "federated_learning": (("Rounds", "Aggregation"), ("Training",)),
    "lifelong_learning": (("Stages", "Knowledge"), ("Evaluation", "Inference")),
    "system": (("Custom resources",),),  # the rest comes from kubelets, of which there are none
    "library": (("Delivery",), ("Health", "Logs")),
    "logs": (("Logs",),),
}
TASKS = {  # chosen on the boards of one kind: the examples', and those of the resources
    "joint_inference": "digits-joint-inference|helmet-detection-inference-example",
    "incremental_learning": "digits-incremental|helmet-detection-demo",
    "federated_learning": "digits-federated|surface-defect-detection",
    "lifelong_learning": "digits-lifelong|atcii",
}
Points = List[Tuple[float, float]]


def shown(value: float, unit: str) -> str:
    """The number, as Grafana writes it in this unit."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        if abs(value) >= 100:
            return f"{value / 60:.3g} min"
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    if unit == "dateTimeFromNow":
        return time.strftime("%H:%M:%S", time.gmtime(value / 1000))
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    return f"{value:.4g}" + (" req/s" if unit == "reqps" else "")


def cut(text: str, length: int) -> str:
    """The end of a text that is too long: there names differ."""
    return text if len(text) <= length else "…" + text[1 - length :]


class Panel:
    """Draws one panel; ``box`` is its left, bottom, width and height in inches."""

    def __init__(self, figure: Figure, panel: Dict[str, Any], box: Sequence[float], source: Source, task: str) -> None:
        self.figure, self.panel, self.source, self.task = figure, panel, source, task
        self.left, self.bottom, self.width, self.height = box
        self.defaults = panel["fieldConfig"]["defaults"]
        self.unit = self.defaults.get("unit", "")
        inches = figure.dpi_scale_trans
        look = {"facecolor": PANEL, "edgecolor": LINE, "linewidth": 0.8, "zorder": -1}
        figure.add_artist(Rectangle(box[:2], *box[2:], transform=inches, **look))
        top = self.bottom + self.height - 0.12
        figure.text(self.left + 0.12, top, panel["title"], va="top", fontweight="bold", transform=inches)
        if not getattr(self, "draw_" + panel["type"].replace("-", "_"))():
            middle = self.left + self.width / 2, self.bottom + self.height / 2
            figure.text(*middle, "No data", ha="center", va="center", color=DIM, transform=inches)

    def axes(self, left: float = 0.1, bottom: float = 0.1, right: float = 0.15, top: float = 0.42) -> Any:
        """Axes within these margins, in inches."""
        width, height = self.figure.get_size_inches()
        wide, high = self.width - left - right, self.height - bottom - top
        box = ((self.left + left) / width, (self.bottom + bottom) / height, wide / width, high / height)
        axes = self.figure.add_axes(box)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        return axes

    def queries(self) -> Iterator[Tuple[str, str]]:
        """Legend and expression."""
        for each in self.panel["targets"]:
            chosen = {"rate_interval": "30s", "__range": f"{SHOWN_SECONDS}s", "task": self.task}
            yield each.get("legendFormat", ""), filled(each["expr"], **chosen)

    def ranges(self) -> List[Tuple[str, Points]]:
        return [
            (re.sub(r"\{\{(\w+)\}\}", lambda match, of=labels: of.get(match[1], ""), legend), points)
            for legend, expression in self.queries()
            for labels, points in self.source.range(expression)
        ]

    def values(self) -> List[Tuple[str, float]]:
        return [
            (re.sub(r"\{\{(\w+)\}\}", lambda match, of=labels: of.get(match[1], ""), legend), value)
            for legend, expression in self.queries()
            for labels, value in self.source.now(expression)
        ]

    def time_axis(self, axes: Any) -> None:
        begin, end = self.source.begin, self.source.end
        ticks = [tick for tick in range(int(begin) // 120 * 120, int(end), 120) if tick > begin]
        axes.set_xlim(begin, end)
        axes.set_xticks(ticks, [time.strftime("%H:%M", time.gmtime(tick)) for tick in ticks])

    def with_legend(self, names: Sequence[str], **margins: float) -> Any:
        """Axes above a legend of two rows at most, and what draws it."""
        columns = max(1, int((self.width - 0.2) / (0.35 + 0.075 * max(map(len, names)))))
        rows = min(2, -(-len(names) // columns))
        axes = self.axes(left=0.9, bottom=0.42 + 0.19 * rows, **margins)
        axes.grid(linewidth=0.6)
        place = (self.left + 0.12, self.bottom + 0.05)

        def legend() -> None:
            handles, labels = axes.get_legend_handles_labels()
            self.figure.legend(
                handles[: rows * columns], labels[: rows * columns], ncols=columns, loc="lower left",
                bbox_to_anchor=place, bbox_transform=self.figure.dpi_scale_trans, borderaxespad=0, borderpad=0.2,
                handlelength=1.2, columnspacing=1.2, handletextpad=0.5, labelspacing=0.25,
            )  # fmt: skip

        return axes, legend

    def draw_timeseries(self) -> bool:
        if self.panel["datasource"]["type"] == "loki":
            return self.draw_log_volume()
        found = self.ranges()
        if not found:
            return False
        axes, legend = self.with_legend([name for name, _ in found])
        for number, (name, points) in enumerate(found):
            color = COLORS[number % len(COLORS)]
            moments, heights = zip(*self.with_gaps(points))
            axes.plot(moments, heights, color=color, linewidth=1.5, label=name)
            axes.fill_between(moments, heights, color=color, alpha=0.08)
        axes.yaxis.set_major_formatter(lambda value, _: shown(value, self.unit))
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
        heights = [height for _, points in found for _, height in points]
        axes.set_ylim(1.1 * min(0, *heights), 1.1 * max(0, *heights) or 1)
        self.time_axis(axes)
        legend()
        return True

    def with_gaps(self, points: Points) -> Iterator[Tuple[float, float]]:
        last = points[0][0]
        for moment, value in points:
            if moment - last > 1.5 * STEP_SECONDS:
                yield last, float("nan")
            yield moment, value
            last = moment

    def draw_stat(self) -> bool:
        found = self.ranges()[:4]
        for number, (name, points) in enumerate(found):
            wide = self.width / len(found)
            axes = self.axes(number * wide + 0.05, 0.05, self.width - (number + 1) * wide + 0.05, 0.35)
            moments, heights = zip(*points)
            axes.fill_between(moments, heights, min(heights), color=NAMED["green"], alpha=0.25)
            axes.plot(moments, heights, color=NAMED["green"], linewidth=1)
            low = min(heights)
            span = max(heights) - low or 1
            axes.set(xlim=(self.source.begin, self.source.end), ylim=(low - 0.1 * span, low + 3.5 * span))
            axes.axis("off")
            big = 20 if len(found) == 1 else 13
            text = {"ha": "center", "va": "center", "transform": axes.transAxes}
            axes.text(0.5, 0.68, shown(heights[-1], self.unit), fontsize=big, color=NAMED["green"], **text)
            if len(found) > 1:
                axes.text(0.5, 0.4, cut(name, int(wide * 12)), fontsize=8, **text)
        return bool(found)

    def draw_piechart(self) -> bool:
        found = [(name, value) for name, value in self.values() if value > 0]
        if found:
            axes = self.axes(right=0.62 * self.width)
            parts = [value for _, value in found]
            axes.pie(parts, colors=COLORS, wedgeprops={"width": 0.42, "edgecolor": PANEL}, radius=1.2)
            labels = [f"{name}\n{part / sum(parts):.0%}" for name, part in found]
            axes.legend(axes.patches, labels, loc="center left", bbox_to_anchor=(1.05, 0.5), handlelength=0.8)
        return bool(found)

    def draw_heatmap(self) -> bool:
        ((_, expression),) = self.queries()
        series = self.source.range(expression, HEATMAP_SECONDS)
        by_edge = {float(labels["le"]): dict(points) for labels, points in series}
        edges = sorted(by_edge)
        moments = sorted({moment for points in by_edge.values() for moment in points})
        if not any(value > 0 for points in by_edge.values() for value in points.values()):
            return False
        rows, below = [], dict.fromkeys(moments, 0.0)
        for edge in edges:
            here = {moment: by_edge[edge].get(moment, 0.0) for moment in moments}
            rows.append([max(0.0, here[moment] - below[moment]) or float("nan") for moment in moments])
            below = here
        axes = self.axes(left=0.9, bottom=0.35)
        axes.pcolormesh(moments, range(len(edges)), rows, cmap="YlOrBr_r", shading="nearest", edgecolor=PANEL)
        axes.set_yticks(range(0, len(edges), 2), [shown(edge, "s") for edge in edges[::2]])
        used = [number for number, row in enumerate(rows) if any(value > 0 for value in row)]
        axes.set_ylim(min(used) - 2, max(used) + 2)
        self.time_axis(axes)
        return True

    def draw_state_timeline(self) -> bool:
        states = self.defaults["mappings"][0]["options"]
        found = self.ranges()
        if not found:
            return False
        names = [cut(name, 30) for name, _ in found]
        axes = self.axes(left=0.2 + 0.075 * max(map(len, names)), bottom=0.35)
        an_inch = SHOWN_SECONDS / (axes.get_position().width * WIDTH)
        for row, (_, points) in enumerate(found):
            for value, run in groupby(points, key=lambda point: point[1]):
                begun, *_, ended = [moment for moment, _ in run] * 2
                state = states.get(str(int(value)), {"text": str(value)})
                long = ended + STEP_SECONDS - begun
                axes.barh(row, long, left=begun, height=0.8, color=NAMED.get(state.get("color"), DIM))
                if long > an_inch * (0.1 + 0.075 * len(state["text"])):
                    axes.text(begun + 0.06 * an_inch, row, state["text"], va="center", fontsize=9, color=BACK)
        axes.set_yticks(range(len(found)), names)
        axes.set_ylim(len(found) - 0.4, -0.6)
        self.time_axis(axes)
        return True

    def draw_table(self) -> bool:
        organize = self.panel["transformations"][-1]["options"]
        columns, headings = sorted(organize["indexByName"], key=organize["indexByName"].get), organize["renameByName"]
        rows: Dict[Tuple[Any, ...], Dict[str, str]] = {}
        several = len(self.panel["targets"]) > 1
        for target, (_, expression) in zip(self.panel["targets"], self.queries()):
            for labels, value in self.source.now(expression):
                key = [labels.get(name, "") for name in ("namespace", "task", "worker", "name")]
                row = rows.setdefault(tuple(key if several else sorted(labels.items())), {})
                row.update({name: text for name, text in labels.items() if name in columns})
                unit = "dateTimeFromNow" if "* 1000" in expression else "short"
                row[f"Value #{target['refId']}" if several else "Value"] = shown(value, unit)
        body = [[headings[column] for column in columns]]
        body += [[row.get(column, "") for column in columns] for row in rows.values()]
        axes = self.axes()
        axes.axis("off")
        longest = [max(map(len, column)) + 2 for column in zip(*body)]
        size, an_inch = (9, 12.5) if sum(longest) < self.width * 12.5 else (8, 14.5)
        fits = (most for most in range(40, 0, -1) if sum(min(most, each) for each in longest) < self.width * an_inch)
        lengths = [min(most, each) for most in [next(fits)] for each in longest]
        for line, row in enumerate(body[: int((self.height - 0.5) / 0.27)]):
            height = 1 - (line + 0.5) * 0.27 / (self.height - 0.52)
            for column, text in enumerate(row):
                place = sum(lengths[:column]) / sum(lengths)
                color = NAMED["blue"] if line == 0 else TEXT
                text = cut(text, lengths[column] - 1)
                axes.text(place, height, text, va="center", fontsize=size, color=color, transform=axes.transAxes)
            axes.axhline(height - 0.135 / (self.height - 0.52), color=LINE, linewidth=0.8)
        axes.set(ylim=(0, 1))
        return len(body) > 1

    def draw_barchart(self) -> bool:
        by = self.panel["options"]["xField"]
        groups: Dict[str, Dict[str, float]] = {}
        for legend, expression in self.queries():
            for labels, value in self.source.now(expression):
                groups.setdefault(labels.get(by, ""), {})[legend] = value
        if not groups:
            return False
        names = list(dict.fromkeys(name for group in groups.values() for name in group))
        axes, legend = self.with_legend(names)
        for number, name in enumerate(names):
            heights = [group.get(name, 0.0) for group in groups.values()]
            places = [index + 0.4 * number - 0.2 for index in range(len(groups))]
            bars = axes.bar(places, heights, 0.38, color=COLORS[number], label=name)
            axes.bar_label(bars, fmt="%.3f", color=TEXT)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_ylim(0, 1.3 * max(max(group.values()) for group in groups.values()))
        legend()
        return True

    def draw_bargauge(self) -> bool:
        found = self.values()
        if not found:
            return False
        axes = self.axes(right=1)
        most = 1 if self.unit == "percentunit" else max(value for _, value in found) or 1
        for row, (name, value) in enumerate(found):
            axes.barh(row, most, 0.5, color="#22252b")
            axes.barh(row, value, 0.5, color=COLORS[0])
            axes.text(0, row - 0.3, cut(name, int(self.width * 10)), fontsize=9, va="bottom")
            axes.text(1.02 * most, row, shown(value, self.unit), va="center", color=COLORS[0], fontsize=12)
        axes.set(xlim=(0, most), ylim=(max(len(found), 2) - 0.5, -0.8))
        axes.axis("off")
        return True

    def lines(self) -> List[Dict[str, Any]]:
        """Log records of the time shown, newest first."""
        found = map(json.loads, self.source.log())
        return sorted(
            (
                each
                for each in found
                if re.fullmatch(self.task, each.get("task", "")) and self.source.begin < _moment(each) < self.source.end
            ),
            key=lambda each: each["timestamp"],
            reverse=True,
        )

    def draw_log_volume(self) -> bool:
        counted: Dict[str, Dict[int, int]] = {}
        for record in self.lines():
            moment = int(_moment(record)) // 10 * 10
            by_moment = counted.setdefault(record["level"], {})
            by_moment[moment] = by_moment.get(moment, 0) + 1
        if not counted:
            return False
        axes, legend = self.with_legend(list(counted))
        for level, values in sorted(counted.items(), reverse=True):
            axes.bar(list(values), list(values.values()), 8, color=LEVELS[level], label=level, align="edge")
        self.time_axis(axes)
        legend()
        return True

    def draw_logs(self) -> bool:
        if "controller" in self.panel["targets"][0]["expr"]:
            return False
        axes = self.axes(left=0.15)
        axes.axis("off")
        height = self.height - 0.52
        for row, record in enumerate(self.lines()[: int(height / 0.185)]):
            place = 1 - (row + 0.5) * 0.185 / height
            text = f"{record['timestamp'][11:23]}  {json.dumps(record)}"[: int(14.3 * (self.width - 0.5))]
            axes.text(0, place, "▎", color=LEVELS[record["level"]], va="center", fontsize=9, transform=axes.transAxes)
            axes.text(
                0.01, place, text, va="center", fontsize=8.5, family="monospace", transform=axes.transAxes, clip_on=True
            )
        return True


def _moment(record: Dict[str, Any]) -> float:
    return calendar.timegm(time.strptime(record["timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))


class Source:
    """What Prometheus and the logs have of the time that is shown."""

    def __init__(self, url: str, folder: Path, end: float) -> None:
        self._prometheus, self._folder = Prometheus(url), folder
        self.begin, self.end = end - SHOWN_SECONDS, end

    def range(self, expression: str, step: float = STEP_SECONDS) -> List[Tuple[Dict[str, str], Points]]:
        return self._prometheus.range(expression, self.begin, self.end, step)

    def now(self, expression: str) -> List[Tuple[Dict[str, str], float]]:
        return self._prometheus.now(expression, time=self.end)

    def log(self) -> List[str]:
        texts = [path.read_text() for path in self._folder.glob("*.log")]
        return [line for text in texts for line in text.splitlines() if line.startswith('{"timestamp"')]


def panels_by_row(name: str) -> Dict[str, List[Dict[str, Any]]]:
    rows: Dict[str, List[Dict[str, Any]]] = {}
    for panel in DASHBOARDS[name]["panels"]:
        if panel["type"] == "row":
            rows[panel["title"]] = []
        else:
            rows[list(rows)[-1]].append(panel)
    return rows


def draw(name: str, number: int, source: Source) -> Path:
    """One picture of a dashboard; returns its path."""
    rows = panels_by_row(name)
    wanted = {title: rows[title] for title in PICTURES[name][number]}
    heights = {
        title: max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) - min(p["gridPos"]["y"] for p in panels)
        for title, panels in wanted.items()
    }
    total = (sum(heights.values()) + 1.2 * len(heights)) * CELL + 0.6
    with matplotlib.rc_context(STYLE):
        figure = plt.figure(figsize=(WIDTH, total), facecolor=BACK, dpi=DPI)
        inches = figure.dpi_scale_trans
        figure.text(0.1, total - 0.35, DASHBOARDS[name]["title"], fontsize=15, fontweight="bold", transform=inches)
        note = "drawn from the panels' queries by matplotlib; Grafana's own look differs"
        figure.text(WIDTH - 0.1, total - 0.35, note, fontsize=9, color=DIM, ha="right", transform=inches)
        top = total - 0.6
        for title, panels in wanted.items():
            figure.text(0.1, top - 0.8 * CELL, f"⌄ {title}", fontsize=12, transform=inches)
            top -= 1.2 * CELL
            first = min(panel["gridPos"]["y"] for panel in panels)
            for panel in panels:
                place = panel["gridPos"]
                wide, high = place["w"] * WIDTH / 24, place["h"] * CELL
                left, bottom = place["x"] * WIDTH / 24, top - (place["y"] - first) * CELL - high
                box = (left + 0.04, bottom + 0.04, wide - 0.08, high - 0.08)
                Panel(figure, panel, box, source, TASKS.get(name, ".*"))
            top -= heights[title] * CELL
        path = OUTPUT / f"{name}-{number + 1}.png"
        figure.savefig(path, facecolor=BACK)
        plt.close(figure)
    Image.open(path).quantize(96).save(path, optimize=True)
    return path


def main() -> int:
    """Let the examples run, then draw."""
    for name, pictures in PICTURES.items():
        missing = {title for titles in pictures for title in titles} - set(panels_by_row(name))
        if missing:
            raise SystemExit(f"the board {name} has no row {', '.join(missing)}")
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
        runs = folder / "demo"
        runs.mkdir()
        tasks = server.demo(runs, TASK_SECONDS)
        stack.callback(tasks.stop)
        time.sleep(SHOWN_SECONDS + 20)
        if tasks.failures():
            raise SystemExit("\n".join(tasks.failures()))
        source = Source(server.url, runs, time.time())
        for board, pictures in PICTURES.items():
            for number in range(len(pictures)):
                print(draw(board, number, source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
