-- What its schema is to offer beside the columns.
CREATE FUNCTION execution_duration_ms(e execution) RETURNS float8 STABLE LANGUAGE sql
    AS $$ SELECT extract(epoch FROM e.ended_at - e.started_at)::float8 * 1000 $$;
CREATE FUNCTION node_execution_duration_ms(n node_execution) RETURNS float8 STABLE LANGUAGE sql
    AS $$ SELECT extract(epoch FROM n.ended_at - n.started_at)::float8 * 1000 $$;
