"""Reading executions: what a connection holds, its pages, and the details of one (spec 2).

filter.py     which executions a connection holds
selection.py  the same as SQL: what an index finds, and what is sifted from that
walk.py       the first of these
conditions.py the second
rows.py       what is read of each
large.py      how many bytes of values one answer may have
written.py    what PostgreSQL writes of each as JSON itself
pages.py      pages of them, what is pending, and bounded counts
ranks.py      ranks and positions, for numbered pages
details.py    nodes
parameters.py what executions are found by, compared with their parameters
"""

from flowtrail.executions.details import nodes_by_execution, nodes_by_key
from flowtrail.executions.filter import ExecutionFilter
from flowtrail.executions.large import MOST_BYTES, too_large
from flowtrail.executions.pages import (
    ExecutionPage,
    any_pending,
    bounded_counts,
    executions_by_id,
    is_sifted,
    pages,
    pending_by_flow,
)
from flowtrail.executions.parameters import compare_parameters, mend_parameters
from flowtrail.executions.ranks import BoundedRanks
from flowtrail.executions.rows import (
    COMPLETE,
    LISTED,
    NODE_PAYLOADS,
    Columns,
    Execution,
    NodeColumns,
    NodeExecution,
    NodeKey,
    StoredPayload,
    position_of,
    stored_payload,
)
from flowtrail.executions.selection import Selection
from flowtrail.executions.written import LARGE_COLUMNS, Constant, Form, Leaf, Nodes, Object, Written

__all__ = [
    "COMPLETE",
    "LARGE_COLUMNS",
    "LISTED",
    "MOST_BYTES",
    "NODE_PAYLOADS",
    "BoundedRanks",
    "Columns",
    "Constant",
    "Execution",
    "ExecutionFilter",
    "ExecutionPage",
    "Form",
    "Leaf",
    "NodeColumns",
    "NodeExecution",
    "NodeKey",
    "Nodes",
    "Object",
    "Selection",
    "StoredPayload",
    "Written",
    "any_pending",
    "bounded_counts",
    "compare_parameters",
    "executions_by_id",
    "is_sifted",
    "mend_parameters",
    "nodes_by_execution",
    "nodes_by_key",
    "pages",
    "pending_by_flow",
    "position_of",
    "stored_payload",
    "too_large",
]
