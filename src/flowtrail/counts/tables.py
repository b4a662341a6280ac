"""The tables of counts: what each counts by, and of which executions. All have the same grains and are folded and mended alike."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from flowtrail.counts.durations import BOUNDS

NO_FLOW = uuid.UUID(int=0)
"""Stands for executions of tools that did not exist."""
ALL_FLOWS = uuid.UUID(int=2**128 - 1)
"""Stands for every execution."""
TOTAL = datetime(1970, 1, 1, tzinfo=UTC)
"""The one bucket of the grain `total`."""
STATUSES = ("PENDING", "FULFILLED", "ERROR")
FOLD_LOCK = 0x666C6F77  # any number that nothing else in the database locks
"""The advisory lock of whoever changes what is folded."""

GRAINS = f"""(VALUES
    ('total', timestamptz '{TOTAL:%Y-%m-%d %H:%M%z}'),
    ('day', date_trunc('day', made.bucket, 'UTC')),
    ('hour', date_trunc('hour', made.bucket, 'UTC')),
    ('minute', made.bucket)
) AS grain(name, bucket)"""
"""SQL for the buckets that a minute, `made.bucket`, is part of."""

MICROSECONDS = "(extract(epoch FROM {ended_at} - {started_at}) * 1000000)::bigint"
"""SQL for a duration, to be formatted with its ends."""
DURATION_BIN = f"width_bucket({MICROSECONDS}, '{{{{{','.join(map(str, BOUNDS))}}}}}'::bigint[])::smallint"
"""SQL for the bin of a duration, likewise: what counts.durations.duration_bin returns."""


@dataclass(frozen=True, slots=True)
class CountTable:
    """One of the tables. Its rows are counted by flow, grain, bucket of the start, and `keys`."""

    name: str
    keys: tuple[str, ...]
    """The columns, called alike in the deltas."""
    keys_of_execution: tuple[str, ...]
    """SQL for each of them, of a row of `execution` as `e`."""
    deltas: str
    """SQL condition for the deltas that it counts."""
    executions: str
    """SQL condition for the executions that it counts, as `e`."""
    scopes: str
    """SQL rows for what an execution or a delta, `made`, is counted under."""

    @property
    def key_columns(self) -> str:
        return ", ".join(self.keys)

    @property
    def counts_all_flows(self) -> bool:
        """Whether it has counts of ALL_FLOWS, too."""
        return str(ALL_FLOWS) in self.scopes


_OF_FLOWS = f"made.flow_id <> '{NO_FLOW}'"

EXECUTIONS = CountTable(
    name="execution_count",
    keys=("status", "is_preview"),
    keys_of_execution=("e.status", "e.is_preview"),
    deltas="true",
    executions="true",
    scopes=f"(VALUES (made.flow_id), ('{ALL_FLOWS}'::uuid)) AS scope(flow_id)",
)
DURATIONS = CountTable(
    name="execution_duration_count",
    keys=("duration_bin",),
    keys_of_execution=(DURATION_BIN.format(started_at="e.started_at", ended_at="e.ended_at"),),
    deltas=f"made.duration_bin IS NOT NULL AND {_OF_FLOWS}",
    executions="e.status <> 'PENDING' AND e.flow_id IS NOT NULL",
    scopes="(VALUES (made.flow_id)) AS scope(flow_id)",
)
ERRORS = CountTable(
    name="execution_error_count",
    keys=("error_group",),
    keys_of_execution=("e.error_group",),
    deltas=f"made.error_group IS NOT NULL AND {_OF_FLOWS}",
    executions="e.status = 'ERROR' AND e.flow_id IS NOT NULL",
    scopes="(VALUES (made.flow_id)) AS scope(flow_id)",
)
TABLES = (EXECUTIONS, DURATIONS, ERRORS)
