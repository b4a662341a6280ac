"""Reading executions: what a connection holds, its pages, and the details of one (spec 2).

filter.py     which executions a connection holds
selection.py  the same as SQL
pages.py      pages of them, what is pending, and bounded counts
ranks.py      ranks and positions, for numbered pages
details.py    payloads and nodes
"""

from flowtrail.executions.details import (
    NodeExecution,
    NodeKey,
    StoredPayload,
    nodes_by_execution,
    nodes_by_key,
    payloads_by_execution,
    payloads_by_node,
    stacks_by_execution,
)
from flowtrail.executions.filter import ExecutionFilter
from flowtrail.executions.pages import (
    Execution,
    ExecutionPage,
    any_pending,
    bounded_counts,
    executions_by_id,
    pages,
    pending_by_flow,
)
from flowtrail.executions.ranks import BoundedRanks
from flowtrail.executions.selection import Selection

__all__ = [
    "BoundedRanks",
    "Execution",
    "ExecutionFilter",
    "ExecutionPage",
    "NodeExecution",
    "NodeKey",
    "Selection",
    "StoredPayload",
    "any_pending",
    "bounded_counts",
    "executions_by_id",
    "nodes_by_execution",
    "nodes_by_key",
    "pages",
    "payloads_by_execution",
    "payloads_by_node",
    "pending_by_flow",
    "stacks_by_execution",
]
