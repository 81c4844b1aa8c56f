"""Panels in the forms that these dashboards use: each has a description, and a unit where it has numbers.

Queries are given by legend; a legend may name labels, as in ``{{worker}}``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    heatmap,
    logs,
    loki,
    piechart,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLabels, PieChartType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from stackgen.dashboards import _queries

Built = Builder[Panel]
Queries = Mapping[str, str]
P = TypeVar("P", bound=Any)

PROMETHEUS = DataSourceRef("prometheus", "${prometheus}")
LOKI = DataSourceRef("loki", "${loki}")
LOGS_UID = "sedna-logs"

_COLORS = {
    **dict.fromkeys(["completed", "ok", "succeeded", "complete", "deploy"], "green"),
    **dict.fromkeys(["running", "training", "train"], "blue"),
    **dict.fromkeys(["starting", "ready", "eval"], "purple"),
    **dict.fromkeys(["waiting", "pending"], "yellow"),
    **dict.fromkeys(["failed", "not_ok"], "red"),
}


def numbers(title: str, description: str, queries: Queries, unit: str = "short", span: int = 4) -> Built:
    """The latest values, large, over a sparkline."""
    panel = _filled(stat.Panel(), title, description, queries, span, height=4)
    return (
        panel.unit(unit)
        .graph_mode(looks.BigValueGraphMode.AREA)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def lines(title: str, description: str, queries: Queries, unit: str = "short", span: int = 12, low: float = 0) -> Built:
    """Values over time."""
    panel = _filled(timeseries.Panel(), title, description, queries, span)
    return (
        panel.unit(unit)
        .axis_soft_min(low)
        .line_width(1)
        .fill_opacity(10)
        .legend(_LEGEND)
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .data_links([_to_logs()])
    )


def share(title: str, description: str, queries: Queries, span: int = 6) -> Built:
    """What part each is of the whole."""
    panel = _filled(piechart.Panel(), title, description, queries, span, is_instant=True)
    return (
        panel.unit("short")
        .pie_type(PieChartType.DONUT)
        .display_labels([PieChartLabels.NAME, PieChartLabels.PERCENT])
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def spread(title: str, description: str, query: str, unit: str = "s", span: int = 12) -> Built:
    """How a histogram's values are spread, over time."""
    target = _target(query, "{{le}}").format(PromQueryFormat.HEATMAP)
    panel = _placed(heatmap.Panel(), title, description, span, 8).with_target(target)
    return (
        panel.calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
    )


def states(title: str, description: str, queries: Queries, names: Sequence[str], span: int = 12) -> Built:
    """States over time. A query gives the state's number, counted from 1 in ``names``."""
    panel = _filled(statetimeline.Panel(), title, description, queries, span)
    options = {
        str(index): ValueMappingResult(text=name, color=_COLORS.get(name.lower(), "text"), index=index)
        for index, name in enumerate(names, 1)
    }
    return panel.mappings([ValueMap(options)]).merge_values(True).fill_opacity(80)


def rows(title: str, description: str, queries: Queries, names: Mapping[str, str], span: int = 12) -> Built:
    """A table of the queries' labels and values.

    ``names`` are the columns, in their order: heading by label, or by ``Value #`` and the query's legend where there
    are several queries. Others are hidden.
    """
    panel = _tabular(table.Panel(), title, description, queries, span)
    columns = list(names)
    organize = {"renameByName": dict(names), "indexByName": {column: index for index, column in enumerate(columns)}}
    return (
        panel.with_transformation(DataTransformerConfig("merge", options={}))
        .with_transformation(DataTransformerConfig("filterFieldsByName", options={"include": {"names": columns}}))
        .with_transformation(DataTransformerConfig("organize", options=organize))
        .show_header(True)
    )


def times(panel: P, *columns: str) -> P:
    """Columns that hold Unix times in seconds are shown as times."""
    for column in columns:
        panel = panel.override_by_name(column, [DynamicConfigValue("unit", "dateTimeFromNow")])
    return panel


def side_by_side(title: str, description: str, queries: Queries, by: str, span: int = 12) -> Built:
    """Bars of the queries' latest values, in groups by a label."""
    panel = _tabular(barchart.Panel(), title, description, queries, span)
    renamed = {f"Value #{legend}": legend for legend in queries}
    return (
        panel.with_transformation(DataTransformerConfig("joinByField", options={"byField": by, "mode": "outer"}))
        .with_transformation(
            DataTransformerConfig("filterFieldsByName", options={"include": {"names": [by, *renamed]}})
        )
        .with_transformation(DataTransformerConfig("organize", options={"renameByName": renamed}))
        .x_field(by)
        .unit("short")
        .min(0)
    )


def bars(title: str, description: str, queries: Queries, unit: str = "short", span: int = 6) -> Built:
    """The latest values as bars."""
    panel = _filled(bargauge.Panel(), title, description, queries, span, is_instant=True)
    return (
        panel.unit(unit)
        .min(0)
        .display_mode(looks.BarGaugeDisplayMode.GRADIENT)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def log_panels() -> List[Built]:
    """The lines of what is chosen, and their number over time by level."""
    volume = _placed(timeseries.Panel(), "Log lines by level", "Number of log lines by level.", span=24, height=5)
    return [
        volume.datasource(LOKI)
        .with_target(_logql(_queries.lines_by_level()).legend_format("{{level}}"))
        .unit("short")
        .draw_style(looks.GraphDrawStyle.BARS)
        .fill_opacity(60)
        .stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
        .legend(_LEGEND),
        written("Log lines", "Log lines of the selected tasks and workers, newest first.", _queries.lines()),
    ]


def written(title: str, description: str, query: str) -> Built:
    """Log lines."""
    panel = _placed(logs.Panel(), title, description, span=24, height=12)
    return (
        panel.datasource(LOKI)
        .with_target(_logql(query))
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
    )


_LEGEND = (
    common.VizLegendOptions()
    .show_legend(True)
    .display_mode(looks.LegendDisplayMode.TABLE)
    .placement(looks.LegendPlacement.BOTTOM)
    .calcs(["lastNotNull", "max"])
)


def _placed(panel: P, title: str, description: str, span: int, height: int) -> P:
    placed: P = panel.title(title).description(description).datasource(PROMETHEUS).span(span).height(height)
    return placed.no_value("-")  # type: ignore[no-any-return]


def _filled(
    panel: P, title: str, description: str, queries: Queries, span: int, height: int = 8, is_instant: bool = False
) -> P:
    panel = _placed(panel, title, description, span, height)
    for number, (legend, query) in enumerate(queries.items()):
        target = _target(query, legend).ref_id(chr(ord("A") + number))
        panel = panel.with_target(target.instant() if is_instant else target.range())
    return panel


def _tabular(panel: P, title: str, description: str, queries: Queries, span: int) -> P:
    panel = _placed(panel, title, description, span, 8)
    for legend, query in queries.items():
        panel = panel.with_target(_target(query, legend).instant().format(PromQueryFormat.TABLE).ref_id(legend))
    return panel


def _target(query: str, legend: str) -> Any:
    return prometheus.Dataquery().expr(query).legend_format(legend).datasource(PROMETHEUS)


def _logql(query: str) -> Any:
    return loki.Dataquery().expr(query).datasource(LOKI).ref_id("A")


def _to_logs() -> Any:
    chosen: Dict[str, str] = {
        "var-task": "${__field.labels.task}",
        "var-worker": "${__field.labels.worker}",
        "var-loki": "${loki}",
    }
    query = "&".join(f"{key}={value}" for key, value in chosen.items())
    return dashboard.DashboardLink("Logs").url(f"/d/{LOGS_UID}?{query}&${{__url_time_range}}")
