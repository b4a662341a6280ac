"""Statistics of a flow over a range of time."""

import uuid
from collections import Counter
from datetime import datetime

import strawberry

from flowtrail import statistics
from flowtrail.errors import BadUserInput
from flowtrail.graphql.context import Info
from flowtrail.graphql.executions import Execution, ExecutionErrorKind, ExecutionStatus


@strawberry.type
class StatusCount:
    status: ExecutionStatus
    count: int


@strawberry.type(description="Executions that started in one span of time.")
class StatisticsBucket:
    from_: datetime = strawberry.field(name="from")
    to: datetime
    by_status: list[StatusCount]


@strawberry.type(description="Errors of one kind, node and message.")
class ErrorGroup:
    kind: ExecutionErrorKind
    node_id: str | None
    message: str
    count: int
    last_seen_at: datetime = strawberry.field(description="When the newest of them started.")
    sample_id: strawberry.Private[uuid.UUID]

    @strawberry.field(description="The newest of them.")
    async def sample(self, info: Info) -> Execution | None:
        found = await info.context.loaders.execution_by_id.load(self.sample_id)
        return Execution.of(found) if found else None


@strawberry.type(description="Of the executions of one flow that started in a range of time.")
class FlowStatistics:
    total: int
    by_status: list[StatusCount]
    error_rate: float | None = strawberry.field(description="Errors among the ended; null when none has ended.")
    p50_duration_ms: float | None = strawberry.field(name="p50DurationMs")
    p95_duration_ms: float | None = strawberry.field(name="p95DurationMs")
    p99_duration_ms: float | None = strawberry.field(name="p99DurationMs")
    flow_id: strawberry.Private[uuid.UUID]
    within: strawberry.Private[statistics.Range]

    @classmethod
    def of(cls, flow_id: uuid.UUID, within: statistics.Range, summary: statistics.Summary) -> "FlowStatistics":
        return cls(
            total=summary.total,
            by_status=_status_counts(summary.by_status),
            error_rate=summary.error_rate,
            p50_duration_ms=summary.p50_duration_ms,
            p95_duration_ms=summary.p95_duration_ms,
            p99_duration_ms=summary.p99_duration_ms,
            flow_id=flow_id,
            within=within,
        )

    @strawberry.field(description="At most 60 spans of equal width, without gaps; empty without executions.")
    async def histogram(self, info: Info) -> list[StatisticsBucket]:
        async with info.context.database.read() as read:
            buckets = await statistics.histogram(read, self.flow_id, self.within)
        return [
            StatisticsBucket(from_=bucket.start, to=bucket.end, by_status=_status_counts(bucket.by_status)) for bucket in buckets
        ]

    @strawberry.field(description="The most frequent first; 10 unless asked, at most 100.")
    async def top_errors(self, info: Info, first: int | None = None) -> list[ErrorGroup]:
        first = 10 if first is None else first
        if not 0 <= first <= statistics.MAX_ERROR_GROUPS:
            raise BadUserInput(f"first: {first} is outside 0 to {statistics.MAX_ERROR_GROUPS}")
        async with info.context.database.read() as read:
            groups = await statistics.top_errors(read, self.flow_id, self.within, first)
        return [
            ErrorGroup(
                kind=ExecutionErrorKind(group.kind),
                node_id=group.node_id,
                message=group.message,
                count=group.count,
                last_seen_at=group.last_seen_at,
                sample_id=group.sample_id,
            )
            for group in groups
        ]


def _status_counts(by_status: Counter[str]) -> list[StatusCount]:
    return [StatusCount(status=status, count=by_status[status.value]) for status in ExecutionStatus]
