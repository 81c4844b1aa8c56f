"""The library on itself: what arrives, what waits, what was dropped."""

from __future__ import annotations

from sedna_metrics.catalogue import library, worker
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines, numbers, rows, times
from stackgen.dashboards._queries import highest, increase, of, rate

#: Several workers of a node share its spool, and each reports it.
_SPOOLS = f"max by (namespace, instance) ({of(library.SPOOL_ENTRIES)})"
_LOSSES = {
    "label sets above the limit": library.DROPPED_LABEL_SETS,
    "invalid values": library.REJECTED_VALUES,
    "log records dropped": library.LOG_RECORDS_DROPPED,
    "internal errors": library.INTERNAL_ERRORS,
    "lost spooled states": library.SPOOL_DROPPED,
}

_DELIVERY = [
    numbers(
        "Workers scraped",
        "Discovered workers whose last scrape succeeded.",
        {"up": 'sum(up{job=~"sedna-workers|sedna-edge-workers"})'},
    ),
    numbers(
        "Workers down",
        "Discovered workers whose last scrape failed.",
        {"down": 'sum(up{job=~"sedna-workers|sedna-edge-workers"} == bool 0)'},
    ),
    numbers(
        "Push groups",
        "Groups of workers in the Pushgateway.",
        {"groups": 'count(push_time_seconds{job="sedna-worker"})'},
    ),
    numbers("Undelivered pushes", "In the nodes' spools.", {"undelivered": f"sum({_SPOOLS})"}),
    numbers("Failed pushes", "In the time range of the dashboard.", {"failed": increase(library.PUSH_FAILURES)}),
    numbers(
        "Series",
        "Series in the latest scrapes of workers.",
        {"series": 'sum(scrape_samples_scraped{job=~"sedna-workers|sedna-edge-workers"})'},
    ),
    lines(
        "Pushes",
        "Attempted and failed pushes per second.",
        {
            "{{worker}} attempted": rate(library.PUSH_ATTEMPTS, "task, worker"),
            "{{worker}} failed": rate(library.PUSH_FAILURES, "task, worker"),
        },
        "reqps",
    ),
    lines(
        "Age of the last push",
        "Time since the worker's last successful push.",
        {"{{worker}}": f"time() - {of(library.LAST_PUSH)}"},
        "s",
    ),
    lines(
        "Spool",
        "Undelivered pushes on the node's disk, and states written there.",
        {
            "{{worker}} undelivered": of(library.SPOOL_ENTRIES),
            "{{worker}} spooled": increase(library.SPOOLED, "task, worker"),
        },
    ),
    lines(
        "Scrape duration",
        "Duration of the scrape of each worker.",
        {"{{instance}}": 'scrape_duration_seconds{job=~"sedna-workers|sedna-edge-workers"}'},
        "s",
    ),
]
_HEALTH = [
    *(
        numbers(
            name.capitalize(), f"{metric.description} In the time range of the dashboard.", {"total": increase(metric)}
        )
        for name, metric in _LOSSES.items()
    ),
    lines(
        "Dropped data",
        "All of these should stay at 0.",
        {f"{{{{worker}}}} {name}": increase(metric, "task, worker") for name, metric in _LOSSES.items()},
    ),
    times(
        rows(
            "Workers",
            "Identity of each worker, and when its work last ended well.",
            {
                "who": highest(worker.WORKER_INFO, "task, worker, kind, worker_type, node, host, version"),
                "success": f"{highest(worker.LAST_SUCCESS, 'task, worker')} * 1000",
            },
            {
                "task": "Task",
                "worker": "Worker",
                "kind": "Kind",
                "worker_type": "Type",
                "node": "Node",
                "host": "Host",
                "version": "sedna-metrics",
                "Value #success": "Last success",
            },
        ),
        "Last success",
    ),
]

BOARD = board(
    "sedna-metrics",
    "Metrics delivery",
    "The library on itself: scrapes, pushes, spools, dropped data.",
    {"Delivery": _DELIVERY, "Health": _HEALTH},
)
