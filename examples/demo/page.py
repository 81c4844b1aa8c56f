"""The demo's page: what Prometheus has seen of the tasks, as one HTML file that opens without a network."""

from __future__ import annotations

import html
import io
import re
import time
from typing import List, NamedTuple, Sequence, Tuple

import matplotlib
from backends import Prometheus

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

STEP_SECONDS = 0.5
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # these can be told apart by everybody
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a919c",
    "axes.labelcolor": "#3c4450",
    "xtick.color": "#3c4450",
    "ytick.color": "#3c4450",
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "lines.linewidth": 2,
}


class Panel(NamedTuple):
    title: str
    unit: str
    lines: Sequence[Tuple[str, str]]
    """Name and PromQL of each line; labels in the name are filled in."""
    style: str = "default"


class Section(NamedTuple):
    title: str
    text: str
    task: str
    counts: Sequence[Tuple[str, str]]
    panels: Sequence[Panel]


def _latency(quantile: float, location: str) -> str:
    rate = f'rate(sedna_inference_duration_seconds_bucket{{TASK,location="{location}"}}[3s])'
    return f"1000 * histogram_quantile({quantile}, sum by (le) ({rate}))"


SECTIONS = (
    Section(
        "Joint inference",
        "A small model at the edge answers; images that it is unsure of are hard samples, and go to the big model in"
        " the cloud. That fails until the cloud's model is ready, and for every 40th image.",
        "digits-joint-inference",
        (
            ("inferences at the edge", 'sedna_inferences_total{TASK,location="edge"}'),
            ("inferences in the cloud", 'sedna_inferences_total{TASK,location="cloud"}'),
            ("hard samples", "sedna_hard_samples_total{TASK}"),
            ("errors of the cloud", 'sedna_inference_errors_total{TASK,location="cloud"}'),
        ),
        (
            Panel(
                "Inferences and hard samples",
                "count",
                (
                    ("edge", 'sedna_inferences_total{TASK,location="edge"}'),
                    ("hard samples", "sedna_hard_samples_total{TASK}"),
                    ("cloud", 'sedna_inferences_total{TASK,location="cloud"}'),
                ),
            ),
            Panel(
                "Time of one inference",
                "milliseconds",
                (
                    ("edge, median", _latency(0.5, "edge")),
                    ("edge, 95 %", _latency(0.95, "edge")),
                    ("cloud, median", _latency(0.5, "cloud")),
                    ("cloud, 95 %", _latency(0.95, "cloud")),
                ),
            ),
        ),
    ),
    Section(
        "Incremental learning",
        "In each of three iterations the worker collects hard samples, trains a new model with them, compares it with"
        " the deployed one, and deploys the better.",
        "digits-incremental",
        (
            ("iterations", "sedna_iteration{TASK}"),
            ("inferences", "sum(sedna_inferences_total{TASK})"),
            ("hard samples", "sedna_hard_samples_total{TASK}"),
            ("training steps", "sedna_training_step_duration_seconds_count{TASK}"),
        ),
        (
            Panel("Training loss", "loss", (("loss", "sedna_training_loss{TASK}"),)),
            Panel(
                "Precision of the models",
                "precision",
                (
                    ("new model", 'sedna_eval_score{TASK,metric="precision",model="new"}'),
                    ("deployed model before", 'sedna_eval_score{TASK,metric="precision",model="old"}'),
                ),
                "steps-post",
            ),
        ),
    ),
    Section(
        "Lifelong learning",
        "Three cameras see in different ways. Images that are far from all that is known are unseen samples; they"
        " become a new task of the knowledge base.",
        "digits-lifelong",
        (
            ("known tasks", "sedna_known_tasks{TASK}"),
            ("inferences", "sum(sedna_inferences_total{TASK})"),
            ("unseen samples", "sedna_unseen_samples_total{TASK}"),
            ("training steps", "sedna_training_step_duration_seconds_count{TASK}"),
        ),
        (
            Panel("Training loss", "loss", (("loss", "sedna_training_loss{TASK}"),)),
            Panel(
                "Inferences and unseen samples",
                "count",
                (
                    ("inferences", "sum(sedna_inferences_total{TASK})"),
                    ("unseen samples", "sedna_unseen_samples_total{TASK}"),
                ),
            ),
        ),
    ),
    Section(
        "Federated learning",
        "Three nodes train on their own digits. After each round the aggregator averages their models by samples.",
        "digits-federated",
        (
            ("rounds", "sedna_aggregation_round{TASK}"),
            ("nodes", 'max(sedna_train_nodes{TASK,worker="aggworker-demo"})'),
            ("samples", "sum(sedna_training_samples{TASK})"),
            ("epochs a node", "max(sedna_training_epoch{TASK})"),
        ),
        (
            Panel("Training loss at the nodes", "loss", (("{worker}", "sedna_training_loss{TASK}"),)),
            Panel("Rounds of aggregation", "round", (("round", "sedna_aggregation_round{TASK}"),), "steps-post"),
        ),
    ),
)

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>sedna-metrics: the demo's run</title>
<style>
body {{ font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1d232b; background: #f4f5f7; margin: 0 }}
main {{ max-width: 1160px; margin: 0 auto; padding: 24px }}
h1 {{ font-size: 26px; margin: 0 }}
h2 {{ font-size: 20px; margin: 32px 0 0 }}
p {{ margin: 4px 0 12px; color: #3c4450 }}
.counts, .panels {{ display: grid; gap: 16px; margin-bottom: 16px }}
.counts {{ grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)) }}
.panels {{ grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)) }}
.counts div, figure {{ background: #fff; border: 1px solid #dfe2e7; border-radius: 6px; padding: 12px 16px; margin: 0 }}
.counts b {{ display: block; font-size: 26px; line-height: 1.2; font-weight: 600 }}
figcaption {{ font-weight: 600 }}
svg {{ width: 100%; height: auto; display: block }}
</style>
<main>
<h1>Four Sedna tasks, as Prometheus saw them</h1>
<p>{when}. {summary}</p>
{sections}
</main>
</html>
"""


def write(prometheus: Prometheus, begin: float, end: float, summary: str) -> str:
    """The page for the time from ``begin`` to ``end``, without the time until something happens."""
    seen = prometheus.range("count(sedna_inferences_total or sedna_training_loss)", begin, end, STEP_SECONDS)
    begin = seen[0][1][0][0] if seen else begin
    with matplotlib.rc_context(STYLE):
        sections = "\n".join(_section(prometheus, section, begin, end) for section in SECTIONS)
    when = time.strftime("%d %B %Y, %H:%M", time.localtime(begin))
    return PAGE.format(when=when, summary=html.escape(summary), sections=sections)


def _section(prometheus: Prometheus, section: Section, begin: float, end: float) -> str:
    def filled(expression: str) -> str:
        return expression.replace("TASK", f'task="{section.task}"')

    counts = []
    for name, expression in section.counts:
        found = prometheus.now(filled(expression), time=end)
        counts.append(f"<div><b>{found[0][1]:,.0f}</b>{name}</div>" if found else f"<div><b>-</b>{name}</div>")
    figures = []
    for panel in section.panels:
        lines = [
            (name.format(**labels), points)
            for name, expression in panel.lines
            for labels, points in prometheus.range(filled(expression), begin, end, STEP_SECONDS)
        ]
        figures.append(f"<figure><figcaption>{panel.title}</figcaption>{_drawn(panel, lines, begin, end)}</figure>")
    return (
        f'<section>\n<h2>{section.title}</h2>\n<p>{section.text}</p>\n<div class="counts">{"".join(counts)}</div>\n'
        f'<div class="panels">\n{"".join(figures)}</div>\n</section>'
    )


def _drawn(panel: Panel, lines: List[Tuple[str, list]], begin: float, end: float) -> str:
    figure, axes = plt.subplots(figsize=(6, 2.9), layout="constrained")
    for name, points in lines:
        moments, values = zip(*points)
        axes.plot([moment - begin for moment in moments], values, label=name, drawstyle=panel.style)
    axes.set(xlim=(0, end - begin), xlabel="seconds since the start", ylabel=panel.unit)
    axes.set_ylim(bottom=0)
    if panel.unit in ("count", "round"):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(lines) > 1:
        figure.legend(loc="outside upper left", ncols=4, fontsize=9)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    plt.close(figure)
    # An SVG within HTML needs no XML declaration and no names of namespaces.
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", text.getvalue()[text.getvalue().index("<svg") :])
