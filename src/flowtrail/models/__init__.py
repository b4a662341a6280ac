"""All tables, with named constraints and indexes. Statements are written as SQL beside the rules they serve; this is what they
run on.

Payload columns are `json` and read as text: `jsonb` and `text` refuse values that JSON allows (docs/decisions/json-not-jsonb.md).
"""

import uuid
from datetime import datetime

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from flowtrail.models import counts  # noqa: F401 (its tables belong to Base too)
from flowtrail.models.base import Base, PgSnapshot, Xid8


class Flow(Base):
    """A tool of an MCP server. Deleting sets `deleted_at`: the executions keep pointing here and read null (spec 1.10)."""

    __tablename__ = "flow"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    server: Mapped[str]
    tool_name: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    input_schema: Mapped[str | None] = mapped_column(JSON)
    timeout_ms: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("timeout_ms > 0", name="timeout_positive"),
        Index(
            "flow_server_tool_name_live_key",
            "server",
            "tool_name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )


class Execution(Base):
    """One call of a flow. Light on purpose: lists read this table alone."""

    __tablename__ = "execution"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    flow_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("flow.id"))
    server: Mapped[str]
    flow_name: Mapped[str]
    flow_tool_name: Mapped[str]
    status: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    deadline: Mapped[datetime]
    """When a pending execution becomes TIMED_OUT, by the database's clock."""
    timeout_at: Mapped[datetime]
    """The deadline by the recorder's clock: what `ended_at` becomes when it passes."""
    initial_params_preview: Mapped[str]
    node_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Set when the execution ends; counted from the nodes while it is pending."""
    is_preview: Mapped[bool]
    client_name: Mapped[str | None]
    client_version: Mapped[str | None]
    caller_subject: Mapped[str | None]
    caller_client_id: Mapped[str | None]
    caller_session_id: Mapped[str | None]
    caller_request_id: Mapped[str | None]
    trace_id: Mapped[str | None]
    parent_execution_id: Mapped[uuid.UUID | None]
    """No foreign key: the parent may be recorded later."""
    error_kind: Mapped[str | None]
    error_message: Mapped[str | None]
    failed_node_id: Mapped[str | None]
    failed_node_name: Mapped[str | None]
    error_group: Mapped[uuid.UUID | None]
    """What errors are counted by: a digest of kind, failing node and normalised message (counts/error_groups.py)."""
    late_status: Mapped[str | None]
    late_ended_at: Mapped[datetime | None]
    late_error_kind: Mapped[str | None]
    late_error_message: Mapped[str | None]
    late_failed_node_id: Mapped[str | None]
    late_failed_node_name: Mapped[str | None]
    start_hash: Mapped[bytes]
    end_hash: Mapped[bytes | None]
    """Of the final event that became the outcome; null when the service timed the execution out."""
    late_hash: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        CheckConstraint("status IN ('PENDING', 'FULFILLED', 'ERROR')", name="status_known"),
        CheckConstraint("(status = 'PENDING') = (ended_at IS NULL)", name="ended_unless_pending"),
        CheckConstraint("ended_at >= started_at", name="ends_after_start"),
        CheckConstraint("(status = 'ERROR') = (error_kind IS NOT NULL)", name="error_kind_for_errors"),
        CheckConstraint("(late_status IS NULL) = (late_ended_at IS NULL)", name="late_outcome_whole"),
        Index("execution_flow_page_idx", "flow_id", text("started_at DESC"), text("id DESC")),
        Index("execution_page_idx", text("started_at DESC"), text("id DESC")),
        Index(
            "execution_error_page_idx",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("status = 'ERROR'"),
        ),
        Index(
            "execution_flow_error_page_idx",
            "flow_id",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("status = 'ERROR'"),
        ),
        Index(
            "execution_kind_page_idx",
            "error_kind",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("status = 'ERROR'"),
        ),
        Index(
            "execution_flow_kind_page_idx",
            "flow_id",
            "error_kind",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("status = 'ERROR'"),
        ),
        Index(
            "execution_flow_error_group_idx",
            "flow_id",
            "error_group",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("status = 'ERROR'"),
        ),
        Index("execution_preview_page_idx", text("started_at DESC"), text("id DESC"), postgresql_where=text("is_preview")),
        Index(
            "execution_flow_preview_page_idx",
            "flow_id",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("is_preview"),
        ),
        Index(
            "execution_no_flow_page_idx",
            "server",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("flow_id IS NULL"),
        ),
        Index("execution_flow_pending_idx", "flow_id", "deadline", postgresql_where=text("status = 'PENDING'")),
        Index("execution_pending_idx", "deadline", postgresql_where=text("status = 'PENDING'")),
        Index(
            "execution_parent_idx",
            "parent_execution_id",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("parent_execution_id IS NOT NULL"),
        ),
        Index(
            "execution_trace_idx",
            "trace_id",
            text("started_at DESC"),
            text("id DESC"),
            postgresql_where=text("trace_id IS NOT NULL"),
        ),
    )


class ExecutionPayload(Base):
    """The heavy values of an execution, read only when a document selects them."""

    __tablename__ = "execution_payload"

    execution_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution.id", ondelete="CASCADE"), primary_key=True)
    initial_params: Mapped[str] = mapped_column(JSON(none_as_null=True))
    initial_params_size: Mapped[int] = mapped_column(BigInteger)
    initial_params_sha256: Mapped[bytes]
    initial_params_truncated: Mapped[bool]
    result: Mapped[str | None] = mapped_column(JSON(none_as_null=True))
    result_size: Mapped[int | None] = mapped_column(BigInteger)
    result_sha256: Mapped[bytes | None]
    result_truncated: Mapped[bool | None]
    error_stack: Mapped[str | None]
    late_result: Mapped[str | None] = mapped_column(JSON(none_as_null=True))
    late_result_size: Mapped[int | None] = mapped_column(BigInteger)
    late_result_sha256: Mapped[bytes | None]
    late_result_truncated: Mapped[bool | None]
    late_error_stack: Mapped[str | None]


class ExecutionParameter(Base):
    """A parameter that executions can be found by: written with the execution, read in its order (parameters.py)."""

    __tablename__ = "execution_parameter"

    flow_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """A flow's, or counts.NO_FLOW."""
    digest: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """Of the path and the value."""
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    execution_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution.id", ondelete="CASCADE"), primary_key=True)

    __table_args__ = (Index("execution_parameter_execution_idx", "execution_id"),)


class NodeExecution(Base):
    """One step inside an execution, by its position in the order the nodes started."""

    __tablename__ = "node_execution"

    execution_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent_position: Mapped[int | None] = mapped_column(Integer)
    node_id: Mapped[str]
    node_name: Mapped[str]
    node_type: Mapped[str]
    status: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]
    input_data: Mapped[str | None] = mapped_column(JSON(none_as_null=True))
    input_size: Mapped[int | None] = mapped_column(BigInteger)
    input_sha256: Mapped[bytes | None]
    input_truncated: Mapped[bool | None]
    output_data: Mapped[str | None] = mapped_column(JSON(none_as_null=True))
    output_size: Mapped[int | None] = mapped_column(BigInteger)
    output_sha256: Mapped[bytes | None]
    output_truncated: Mapped[bool | None]
    start_hash: Mapped[bytes]
    end_hash: Mapped[bytes | None]

    __table_args__ = (
        CheckConstraint("position >= 0", name="position_from_zero"),
        CheckConstraint("parent_position >= 0 AND parent_position < position", name="parent_started_before"),
        CheckConstraint("status IN ('PENDING', 'COMPLETED', 'ERROR')", name="status_known"),
        CheckConstraint("(status = 'PENDING') = (ended_at IS NULL)", name="ended_unless_pending"),
        CheckConstraint("ended_at >= started_at", name="ends_after_start"),
    )


class ExecutionChange(Base):
    """The change feed: one row for each step of an execution's life, written in the transaction of the step (changes.py).

    No foreign key, so that a purged execution's changes still tell their listeners.
    """

    __tablename__ = "execution_change"

    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    execution_id: Mapped[uuid.UUID]
    flow_id: Mapped[uuid.UUID | None]
    kind: Mapped[str]
    position: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime]

    __table_args__ = (CheckConstraint("kind <> ''", name="kind_given"), Index("execution_change_seq_idx", "seq"))


class FeedFloor(Base):
    """Up to where the feed was pruned: one row. Positions at or below it can't be served any more."""

    __tablename__ = "feed_floor"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    xid: Mapped[int] = mapped_column(Xid8)
    snapshot: Mapped[str] = mapped_column(PgSnapshot)

    __table_args__ = (CheckConstraint("one", name="one_row"),)


class FeedEpoch(Base):
    """Which life of which database the feed's positions belong to: one row."""

    __tablename__ = "feed_epoch"

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    epoch: Mapped[uuid.UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    system_identifier: Mapped[int] = mapped_column(BigInteger)
    timeline: Mapped[str]
    database_oid: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint("one", name="one_row"),)


class Recorder(Base):
    """A wrapper that has reported, and what it had to give up (spec 4.6)."""

    __tablename__ = "recorder"

    server: Mapped[str] = mapped_column(primary_key=True)
    instance: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    last_seen_at: Mapped[datetime]
    clock_skew_ms: Mapped[float] = mapped_column(server_default=text("0"))
    dropped_executions: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    dropped_since: Mapped[datetime | None]


class ApiToken(Base):
    """A token made by `flowtrail token create`; only its SHA-256 is kept."""

    __tablename__ = "api_token"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    hash: Mapped[bytes]
    scope: Mapped[str]
    servers: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The servers it is limited to; null for all."""
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("scope IN ('read', 'record')", name="scope_known"),
        Index("api_token_hash_key", "hash", unique=True),
    )


class BrowserSession(Base):
    """A browser that signed in through the OpenID provider; only the SHA-256 of its cookie is kept."""

    __tablename__ = "browser_session"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    subject: Mapped[str]
    """Who signed in, as the provider calls them."""
    servers: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The servers they are limited to; null for all."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    expires_at: Mapped[datetime]
