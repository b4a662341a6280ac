"""Statistics of a flow over a range of time."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import cast

import strawberry

from flowtrail import statistics
from flowtrail.counts import Range
from flowtrail.errors import BadUserInput
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.executions import Execution, ExecutionErrorKind, ExecutionStatus, execution_of
from flowtrail.graphql.lazy_list import LazyList


@strawberry.type
class StatusCount:
    status: ExecutionStatus
    count: int


@strawberry.type(description="Executions that started in one span of time.")
class StatisticsBucket:
    bucket: strawberry.Private[statistics.Bucket]

    @strawberry.field(name="from")
    def from_(self) -> datetime:
        return self.bucket.start

    @strawberry.field
    def to(self) -> datetime:
        return self.bucket.end

    @strawberry.field
    def by_status(self) -> list[StatusCount]:
        return _status_counts(self.bucket.by_status)


@strawberry.type(description="Errors of one kind, node and message, but for the numbers and ids in it.")
class ErrorGroup:
    kind: ExecutionErrorKind
    node_id: str | None
    message: str = strawberry.field(description='With "…" for each number or id, and without the end of a long one.')
    count: int
    last_seen_at: datetime = strawberry.field(description="When the newest of them started.")
    sample_id: strawberry.Private[uuid.UUID]

    @strawberry.field(description="The newest of them.")
    async def sample(self, info: Info) -> Execution | None:
        return await execution_of(info, self.sample_id)


@strawberry.type(description="Of the executions of one flow that started in a range of time.")
class FlowStatistics:
    total: int
    by_status: list[StatusCount]
    error_rate: float | None = strawberry.field(description="Errors among the ended; null when none has ended.")
    flow_id: strawberry.Private[uuid.UUID]
    within: strawberry.Private[Range]

    @classmethod
    def of(cls, flow_id: uuid.UUID, within: Range, summary: statistics.Summary) -> "FlowStatistics":
        return cls(
            total=summary.total,
            by_status=_status_counts(summary.by_status),
            error_rate=summary.error_rate,
            flow_id=flow_id,
            within=within,
        )

    @strawberry.field(name="p50DurationMs", description="Of the ended, in milliseconds, within 1 %; null when none has ended.")
    async def p50_duration_ms(self, info: Info) -> float | None:
        return (await self._percentiles(info)).p50_ms

    @strawberry.field(name="p95DurationMs")
    async def p95_duration_ms(self, info: Info) -> float | None:
        return (await self._percentiles(info)).p95_ms

    @strawberry.field(name="p99DurationMs")
    async def p99_duration_ms(self, info: Info) -> float | None:
        return (await self._percentiles(info)).p99_ms

    async def _percentiles(self, info: Info) -> statistics.Percentiles:
        return await info.context.loaders.percentiles.load((self.flow_id, self.within))

    @strawberry.field(description="At most 60 spans of equal width, without gaps; empty without executions.")
    async def histogram(self, info: Info) -> list[StatisticsBucket]:
        buckets = await info.context.loaders.histogram.load((self.flow_id, self.within))
        return cast("list[StatisticsBucket]", LazyList(lambda bucket: StatisticsBucket(bucket=bucket), buckets))

    @strawberry.field(description="The most frequent first; 10 unless asked, at most 100.")
    async def top_errors(self, info: Info, first: int | None = None) -> list[ErrorGroup]:
        first = 10 if first is None else first
        if not 0 <= first <= statistics.MAX_ERROR_GROUPS:
            raise BadUserInput(f"first: {first} is outside 0 to {statistics.MAX_ERROR_GROUPS}")
        groups = await info.context.loaders.top_errors(first).load((self.flow_id, self.within))
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


_STATUSES = [(status, status.value) for status in ExecutionStatus]


def _status_counts(by_status: Mapping[str, int]) -> list[StatusCount]:
    return [StatusCount(status=status, count=by_status.get(value, 0)) for status, value in _STATUSES]
