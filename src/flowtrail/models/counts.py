"""The tables of counts (counts/): what executions are counted by, folded, and what was not folded yet."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from flowtrail.models.base import Base


class ExecutionCount(Base):
    """How many executions started in each bucket of time, folded from the deltas (counts/deltas.py).

    `flow_id` is a flow's, or counts.NO_FLOW or counts.ALL_FLOWS.
    """

    __tablename__ = "execution_count"

    flow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    grain: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    is_preview: Mapped[bool] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("grain IN ('total', 'day', 'hour', 'minute')", name="grain_known"),)


class ExecutionDurationCount(Base):
    """How many ended executions of a flow, by the bucket of time they started in, took how long (counts/durations.py)."""

    __tablename__ = "execution_duration_count"

    flow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    grain: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    duration_bin: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("grain IN ('total', 'day', 'hour', 'minute')", name="grain_known"),)


class ExecutionErrorCount(Base):
    """How many errors of each group a flow had, by the bucket of time they started in (counts/error_groups.py)."""

    __tablename__ = "execution_error_count"

    flow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    grain: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    error_group: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("grain IN ('total', 'day', 'hour', 'minute')", name="grain_known"),)


class ExecutionCountDelta(Base):
    """Changes of the counts, appended by recording transactions and folded every second. `bucket` is a minute.

    `duration_bin` is there for what has ended, `error_group` for errors.
    """

    __tablename__ = "execution_count_delta"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    flow_id: Mapped[uuid.UUID]
    bucket: Mapped[datetime]
    status: Mapped[str]
    is_preview: Mapped[bool]
    duration_bin: Mapped[int | None] = mapped_column(SmallInteger)
    error_group: Mapped[uuid.UUID | None]
    n: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("execution_count_delta_flow_idx", "flow_id"),)
