"""The first schema: flows, executions and their nodes, the change feed, counts, recorders, tokens."""

from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

TABLES = (
    "api_token",
    "browser_session",
    "execution_change",
    "execution_count",
    "execution_count_delta",
    "execution_duration_count",
    "execution_error_count",
    "feed_epoch",
    "feed_floor",
    "flow",
    "recorder",
    "execution",
    "execution_parameter",
    "execution_payload",
    "node_execution",
)

STATEMENTS = (
    """
    CREATE TABLE api_token (
        id UUID NOT NULL,
        hash BYTEA NOT NULL,
        scope TEXT NOT NULL,
        servers TEXT[],
        name TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        last_used_at TIMESTAMP WITH TIME ZONE,
        revoked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT api_token_pkey PRIMARY KEY (id),
        CONSTRAINT api_token_scope_known CHECK (scope IN ('read', 'record'))
    )
    """,
    "CREATE UNIQUE INDEX api_token_hash_key ON api_token (hash)",
    """
    CREATE TABLE browser_session (
        hash BYTEA NOT NULL,
        subject TEXT NOT NULL,
        servers TEXT[],
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT browser_session_pkey PRIMARY KEY (hash)
    )
    """,
    """
    CREATE TABLE execution_change (
        xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
        seq BIGINT GENERATED ALWAYS AS IDENTITY,
        execution_id UUID NOT NULL,
        flow_id UUID,
        kind TEXT NOT NULL,
        position INTEGER,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT execution_change_pkey PRIMARY KEY (xid, seq),
        CONSTRAINT execution_change_kind_given CHECK (kind <> '')
    )
    """,
    "CREATE INDEX execution_change_seq_idx ON execution_change (seq)",
    """
    CREATE TABLE execution_count (
        flow_id UUID NOT NULL,
        grain TEXT NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        status TEXT NOT NULL,
        is_preview BOOLEAN NOT NULL,
        n BIGINT NOT NULL,
        CONSTRAINT execution_count_pkey PRIMARY KEY (flow_id, grain, bucket, status, is_preview),
        CONSTRAINT execution_count_grain_known CHECK (grain IN ('total', 'day', 'hour', 'minute'))
    )
    """,
    """
    CREATE TABLE execution_count_delta (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        flow_id UUID NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        status TEXT NOT NULL,
        is_preview BOOLEAN NOT NULL,
        duration_bin SMALLINT,
        error_group UUID,
        n BIGINT NOT NULL,
        CONSTRAINT execution_count_delta_pkey PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX execution_count_delta_flow_idx ON execution_count_delta (flow_id)",
    """
    CREATE TABLE execution_duration_count (
        flow_id UUID NOT NULL,
        grain TEXT NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        duration_bin SMALLINT NOT NULL,
        n BIGINT NOT NULL,
        CONSTRAINT execution_duration_count_pkey PRIMARY KEY (flow_id, grain, bucket, duration_bin),
        CONSTRAINT execution_duration_count_grain_known CHECK (grain IN ('total', 'day', 'hour', 'minute'))
    )
    """,
    """
    CREATE TABLE execution_error_count (
        flow_id UUID NOT NULL,
        grain TEXT NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        error_group UUID NOT NULL,
        n BIGINT NOT NULL,
        CONSTRAINT execution_error_count_pkey PRIMARY KEY (flow_id, grain, bucket, error_group),
        CONSTRAINT execution_error_count_grain_known CHECK (grain IN ('total', 'day', 'hour', 'minute'))
    )
    """,
    """
    CREATE TABLE feed_epoch (
        one BOOLEAN DEFAULT true NOT NULL,
        epoch UUID DEFAULT gen_random_uuid() NOT NULL,
        system_identifier BIGINT NOT NULL,
        timeline TEXT NOT NULL,
        database_oid BIGINT NOT NULL,
        CONSTRAINT feed_epoch_pkey PRIMARY KEY (one),
        CONSTRAINT feed_epoch_one_row CHECK (one)
    )
    """,
    """
    CREATE TABLE feed_floor (
        one BOOLEAN DEFAULT true NOT NULL,
        xid xid8 NOT NULL,
        snapshot pg_snapshot NOT NULL,
        CONSTRAINT feed_floor_pkey PRIMARY KEY (one),
        CONSTRAINT feed_floor_one_row CHECK (one)
    )
    """,
    """
    CREATE TABLE flow (
        id UUID NOT NULL,
        server TEXT NOT NULL,
        tool_name TEXT NOT NULL,
        name TEXT NOT NULL,
        description TEXT,
        input_schema JSON,
        timeout_ms INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        deleted_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT flow_pkey PRIMARY KEY (id),
        CONSTRAINT flow_timeout_positive CHECK (timeout_ms > 0)
    )
    """,
    "CREATE UNIQUE INDEX flow_server_tool_name_live_key ON flow (server, tool_name) WHERE deleted_at IS NULL",
    """
    CREATE TABLE recorder (
        server TEXT NOT NULL,
        instance TEXT NOT NULL,
        version TEXT NOT NULL,
        last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        clock_skew_ms DOUBLE PRECISION DEFAULT 0 NOT NULL,
        dropped_executions INTEGER DEFAULT 0 NOT NULL,
        dropped_since TIMESTAMP WITH TIME ZONE,
        CONSTRAINT recorder_pkey PRIMARY KEY (server, instance)
    )
    """,
    """
    CREATE TABLE execution (
        id UUID NOT NULL,
        flow_id UUID,
        server TEXT NOT NULL,
        flow_name TEXT NOT NULL,
        flow_tool_name TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        deadline TIMESTAMP WITH TIME ZONE NOT NULL,
        timeout_at TIMESTAMP WITH TIME ZONE NOT NULL,
        initial_params_preview TEXT NOT NULL,
        node_count INTEGER DEFAULT 0 NOT NULL,
        is_preview BOOLEAN NOT NULL,
        client_name TEXT,
        client_version TEXT,
        caller_subject TEXT,
        caller_client_id TEXT,
        caller_session_id TEXT,
        caller_request_id TEXT,
        trace_id TEXT,
        parent_execution_id UUID,
        error_kind TEXT,
        error_message TEXT,
        failed_node_id TEXT,
        failed_node_name TEXT,
        error_group UUID,
        late_status TEXT,
        late_ended_at TIMESTAMP WITH TIME ZONE,
        late_error_kind TEXT,
        late_error_message TEXT,
        late_failed_node_id TEXT,
        late_failed_node_name TEXT,
        start_hash BYTEA NOT NULL,
        end_hash BYTEA,
        late_hash BYTEA,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        CONSTRAINT execution_pkey PRIMARY KEY (id),
        CONSTRAINT execution_status_known CHECK (status IN ('PENDING', 'FULFILLED', 'ERROR')),
        CONSTRAINT execution_ended_unless_pending CHECK ((status = 'PENDING') = (ended_at IS NULL)),
        CONSTRAINT execution_ends_after_start CHECK (ended_at >= started_at),
        CONSTRAINT execution_error_kind_for_errors CHECK ((status = 'ERROR') = (error_kind IS NOT NULL)),
        CONSTRAINT execution_late_outcome_whole CHECK ((late_status IS NULL) = (late_ended_at IS NULL)),
        CONSTRAINT execution_flow_id_fkey FOREIGN KEY(flow_id) REFERENCES flow (id)
    )
    """,
    """
    CREATE INDEX execution_error_page_idx
        ON execution (started_at DESC, id DESC)
        WHERE status = 'ERROR'
    """,
    """
    CREATE INDEX execution_flow_error_group_idx
        ON execution (flow_id, error_group, started_at DESC, id DESC)
        WHERE status = 'ERROR'
    """,
    """
    CREATE INDEX execution_flow_error_page_idx
        ON execution (flow_id, started_at DESC, id DESC)
        WHERE status = 'ERROR'
    """,
    """
    CREATE INDEX execution_flow_kind_page_idx
        ON execution (flow_id, error_kind, started_at DESC, id DESC)
        WHERE status = 'ERROR'
    """,
    "CREATE INDEX execution_flow_page_idx ON execution (flow_id, started_at DESC, id DESC)",
    "CREATE INDEX execution_flow_pending_idx ON execution (flow_id, deadline) WHERE status = 'PENDING'",
    """
    CREATE INDEX execution_kind_page_idx
        ON execution (error_kind, started_at DESC, id DESC)
        WHERE status = 'ERROR'
    """,
    "CREATE INDEX execution_page_idx ON execution (started_at DESC, id DESC)",
    """
    CREATE INDEX execution_parent_idx
        ON execution (parent_execution_id, started_at DESC, id DESC)
        WHERE parent_execution_id IS NOT NULL
    """,
    "CREATE INDEX execution_pending_idx ON execution (deadline) WHERE status = 'PENDING'",
    "CREATE INDEX execution_preview_page_idx ON execution (started_at DESC, id DESC) WHERE is_preview",
    "CREATE INDEX execution_flow_preview_page_idx ON execution (flow_id, started_at DESC, id DESC) WHERE is_preview",
    "CREATE INDEX execution_no_flow_page_idx ON execution (server, started_at DESC, id DESC) WHERE flow_id IS NULL",
    "CREATE INDEX execution_trace_idx ON execution (trace_id, started_at DESC, id DESC) WHERE trace_id IS NOT NULL",
    """
    CREATE TABLE execution_parameter (
        flow_id UUID NOT NULL,
        digest UUID NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        execution_id UUID NOT NULL,
        CONSTRAINT execution_parameter_pkey PRIMARY KEY (flow_id, digest, started_at, execution_id),
        CONSTRAINT execution_parameter_execution_id_fkey FOREIGN KEY(execution_id)
                REFERENCES execution (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX execution_parameter_execution_idx ON execution_parameter (execution_id)",
    """
    CREATE TABLE execution_payload (
        execution_id UUID NOT NULL,
        initial_params JSON NOT NULL,
        initial_params_size BIGINT NOT NULL,
        initial_params_sha256 BYTEA NOT NULL,
        initial_params_truncated BOOLEAN NOT NULL,
        result JSON,
        result_size BIGINT,
        result_sha256 BYTEA,
        result_truncated BOOLEAN,
        error_stack TEXT,
        late_result JSON,
        late_result_size BIGINT,
        late_result_sha256 BYTEA,
        late_result_truncated BOOLEAN,
        late_error_stack TEXT,
        CONSTRAINT execution_payload_pkey PRIMARY KEY (execution_id),
        CONSTRAINT execution_payload_execution_id_fkey FOREIGN KEY(execution_id)
                REFERENCES execution (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE node_execution (
        execution_id UUID NOT NULL,
        position INTEGER NOT NULL,
        parent_position INTEGER,
        node_id TEXT NOT NULL,
        node_name TEXT NOT NULL,
        node_type TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ended_at TIMESTAMP WITH TIME ZONE,
        error TEXT,
        input_data JSON,
        input_size BIGINT,
        input_sha256 BYTEA,
        input_truncated BOOLEAN,
        output_data JSON,
        output_size BIGINT,
        output_sha256 BYTEA,
        output_truncated BOOLEAN,
        start_hash BYTEA NOT NULL,
        end_hash BYTEA,
        CONSTRAINT node_execution_pkey PRIMARY KEY (execution_id, position),
        CONSTRAINT node_execution_position_from_zero CHECK (position >= 0),
        CONSTRAINT node_execution_parent_started_before CHECK (parent_position >= 0 AND parent_position < position),
        CONSTRAINT node_execution_status_known CHECK (status IN ('PENDING', 'COMPLETED', 'ERROR')),
        CONSTRAINT node_execution_ended_unless_pending CHECK ((status = 'PENDING') = (ended_at IS NULL)),
        CONSTRAINT node_execution_ends_after_start CHECK (ended_at >= started_at),
        CONSTRAINT node_execution_execution_id_fkey FOREIGN KEY(execution_id)
                REFERENCES execution (id) ON DELETE CASCADE
    )
    """,
    # Nothing has been pruned yet.
    "INSERT INTO feed_floor (xid, snapshot) VALUES ('0', pg_current_snapshot())",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
