"""Prometheus metrics: what a person would be woken for, and what they look at then (spec 6.4).

With several worker processes the values are added up over all of them, through the files in PROMETHEUS_MULTIPROC_DIR.
"""

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
disable_created_metrics()  # type: ignore[no-untyped-call]
_registry = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

http_requests = Counter(
    "flowtrail_http_requests_total", "HTTP requests answered.", ["method", "route", "status"], registry=_registry
)
http_seconds = Histogram(
    "flowtrail_http_request_duration_seconds", "From a request's arrival to the end of its answer.", ["route"],
    buckets=_SECONDS, registry=_registry,
)  # fmt: skip
operations = Counter(
    "flowtrail_graphql_operations_total", "Queries and mutations executed, by the worst that happened.", ["type", "outcome"],
    registry=_registry,
)  # fmt: skip
operation_seconds = Histogram(
    "flowtrail_graphql_operation_duration_seconds", "Execution of queries and mutations.", ["type"], buckets=_SECONDS,
    registry=_registry,
)  # fmt: skip
refusals = Counter("flowtrail_access_refused_total", "Requests refused for want of access.", ["reason"], registry=_registry)
recorded_events = Counter("flowtrail_recorded_events_total", "Events from recorders, by receipt.", ["outcome"], registry=_registry)
executions_ended = Counter("flowtrail_executions_ended_total", "Executions that ended, by status.", ["status"], registry=_registry)
connections_open = Gauge(
    "flowtrail_connections", "TCP connections of clients that are open.", registry=_registry, multiprocess_mode="livesum"
)
connections_turned_away = Counter(
    "flowtrail_connections_turned_away_total", "Connections ended because an address, or all together, had too many.", ["limit"],
    registry=_registry,
)  # fmt: skip
held_up = Counter(
    "flowtrail_requests_held_up_total", "Requests that waited for others of the same client, who had its share.", registry=_registry
)
streams = Gauge(
    "flowtrail_streams", "WebSockets and streams of server-sent events that are open.", registry=_registry,
    multiprocess_mode="livesum",
)  # fmt: skip
subscribers = Gauge("flowtrail_subscribers", "Subscriptions that are open.", registry=_registry, multiprocess_mode="livesum")
cut_off = Counter("flowtrail_subscribers_cut_off_total", "Subscribers cut off because they did not keep up.", registry=_registry)
feed_read = Gauge(
    "flowtrail_feed_last_read_timestamp_seconds", "When the change feed was last read for subscribers; 0 while there are none.",
    registry=_registry, multiprocess_mode="livemin",
)  # fmt: skip
connections = Gauge(
    "flowtrail_database_connections_in_use", "Connections to PostgreSQL in use.", ["pool"], registry=_registry,
    multiprocess_mode="livesum",
)  # fmt: skip
connection_waits = Histogram(
    "flowtrail_database_connection_wait_seconds", "How long a request waited for a connection to PostgreSQL.", ["pool"],
    buckets=_SECONDS, registry=_registry,
)  # fmt: skip
database_errors = Counter(
    "flowtrail_database_errors_total", "What PostgreSQL could not do: UNAVAILABLE or TIMEOUT.", ["code"], registry=_registry
)
upkeep_done = Gauge(
    "flowtrail_upkeep_last_success_timestamp_seconds", "When each kind of upkeep last succeeded.", ["work"], registry=_registry,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
dropped_executions = Gauge(
    "flowtrail_recorders_dropped_executions", "Executions that recorders report to have given up.", ["server"],
    registry=_registry, multiprocess_mode="livemostrecent",
)  # fmt: skip
build = Gauge(
    "flowtrail_build_info", "Always 1; the label tells the release.", ["version"], registry=_registry, multiprocess_mode="livemax"
)

if _FOLDER not in os.environ:
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=_registry)


def exposition() -> bytes:
    """Return every metric in Prometheus's text format; with several workers, of all of them."""
    if _FOLDER not in os.environ:
        return generate_latest(_registry)
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)


def share(folder: Path) -> None:
    """Have the processes started from now on add up their metrics in `folder`, which must be empty."""
    os.environ[_FOLDER] = str(folder)


def forget_dead_workers() -> None:
    """Drop the gauges of workers that have gone: nothing is in use or open there any more."""
    if (folder := os.environ.get(_FOLDER)) is None:
        return
    for file in Path(folder).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if pid != os.getpid() and not _lives(pid):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
