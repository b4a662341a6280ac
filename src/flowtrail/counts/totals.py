"""Reading counts: how many executions there are, at a cost that does not grow with them (spec 2.4)."""

import uuid
from collections import Counter
from collections.abc import Sequence

from flowtrail.counts.tables import ALL_FLOWS
from flowtrail.database import Read


async def totals(read: Read, keys: Sequence[uuid.UUID], is_preview: bool | None) -> dict[uuid.UUID, Counter[str]]:
    """Return how many executions of each status each key has: flows, or ALL_FLOWS. Overdue ones count as ERROR (spec 1.7)."""
    rows = await read.fetch(
        """SELECT scope.key, counted.status, sum(counted.n)::bigint AS n
           FROM unnest($1::uuid[]) AS scope(key)
           CROSS JOIN LATERAL (
               SELECT status, is_preview, n FROM execution_count WHERE flow_id = scope.key AND grain = 'total'
               UNION ALL
               SELECT status, is_preview, n FROM execution_count_delta
               WHERE flow_id = scope.key AND scope.key <> $3
               UNION ALL
               SELECT status, is_preview, n FROM execution_count_delta WHERE scope.key = $3
               UNION ALL
               SELECT moved.status, e.is_preview, moved.n
               FROM execution e CROSS JOIN (VALUES ('PENDING', -1), ('ERROR', 1)) AS moved(status, n)
               WHERE e.status = 'PENDING' AND e.deadline <= now() AND e.flow_id = scope.key AND scope.key <> $3
               UNION ALL
               SELECT moved.status, e.is_preview, moved.n
               FROM execution e CROSS JOIN (VALUES ('PENDING', -1), ('ERROR', 1)) AS moved(status, n)
               WHERE e.status = 'PENDING' AND e.deadline <= now() AND scope.key = $3
           ) AS counted
           WHERE $2::boolean IS NULL OR counted.is_preview = $2
           GROUP BY 1, 2""",
        list(keys),
        is_preview,
        ALL_FLOWS,
    )
    counted: dict[uuid.UUID, Counter[str]] = {key: Counter() for key in keys}
    for row in rows:
        counted[row["key"]][row["status"]] = row["n"]
    return counted
