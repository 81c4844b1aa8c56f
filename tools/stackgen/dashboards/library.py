"""The library on itself: what arrives, what waits, what was dropped."""

from __future__ import annotations

from sedna_metrics.catalogue import library, worker
from stackgen.dashboards._board import board
from stackgen.dashboards._panels import lines, numbers, rows, times
from stackgen.dashboards._queries import highest, increase, of, rate, total

_LOSSES = {
    "label sets folded": library.DROPPED_LABEL_SETS,
    "values refused": library.REJECTED_VALUES,
    "log records dropped": library.LOG_RECORDS_DROPPED,
    "internal errors": library.INTERNAL_ERRORS,
    "spooled states lost": library.SPOOL_DROPPED,
}

_DELIVERY = [
    numbers(
        "Workers scraped", "Discovered workers that answer.", {"up": 'sum(up{job=~"sedna-workers|sedna-edge-workers"})'}
    ),
    numbers(
        "Workers gone",
        "Discovered workers that do not answer.",
        {"down": 'sum(up{job=~"sedna-workers|sedna-edge-workers"} == bool 0)'},
    ),
    numbers(
        "Push groups",
        "Groups of workers in the Pushgateway.",
        {"groups": 'count(push_time_seconds{job="sedna-worker"})'},
    ),
    numbers("Waiting in spools", "Undelivered pushes on the nodes' disks.", {"waiting": total(library.SPOOL_ENTRIES)}),
    numbers("Pushes failed", "In the time shown.", {"failed": increase(library.PUSH_FAILURES)}),
    numbers(
        "Series",
        "Samples of the latest scrapes of workers: what they cost Prometheus.",
        {"series": 'sum(scrape_samples_scraped{job=~"sedna-workers|sedna-edge-workers"})'},
    ),
    lines(
        "Pushes",
        "Pushes that were tried and that failed, a second, by worker.",
        {
            "{{worker}} tried": rate(library.PUSH_ATTEMPTS, "task, worker"),
            "{{worker}} failed": rate(library.PUSH_FAILURES, "task, worker"),
        },
        "reqps",
    ),
    lines(
        "Since the last push",
        "How old each worker's state in the Pushgateway is.",
        {"{{worker}}": f"time() - {of(library.LAST_PUSH)}"},
        "s",
    ),
    lines(
        "Spool",
        "Undelivered pushes that wait on each node's disk, and states that went there.",
        {
            "{{worker}} waiting": of(library.SPOOL_ENTRIES),
            "{{worker}} spooled": increase(library.SPOOLED, "task, worker"),
        },
    ),
    lines(
        "Duration of scrapes",
        "How long it takes to read a worker.",
        {"{{instance}}": 'scrape_duration_seconds{job=~"sedna-workers|sedna-edge-workers"}'},
        "s",
    ),
]
_HEALTH = [
    *(
        numbers(name.capitalize(), f"{metric.description} In the time shown.", {"lost": increase(metric)})
        for name, metric in _LOSSES.items()
    ),
    lines(
        "What was dropped, and why",
        "All of these should stay at 0.",
        {f"{{{{worker}}}} {name}": increase(metric, "task, worker") for name, metric in _LOSSES.items()},
    ),
    times(
        rows(
            "Workers",
            "Who they are, and when their work last ended well.",
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
    "How sedna-metrics itself does: scrapes, pushes, spools, and what was dropped.",
    {"Delivery": _DELIVERY, "Health": _HEALTH},
)
