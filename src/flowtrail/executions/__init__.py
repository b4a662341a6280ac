"""Reading executions: what a connection holds, its pages, and the details of one (spec 2).

filter.py   which executions a connection holds, as SQL
pages.py    pages of them, and what is pending
details.py  payloads and nodes
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
from flowtrail.executions.filter import ExecutionFilter, Selection
from flowtrail.executions.pages import (
    Execution,
    ExecutionPage,
    any_pending,
    bounded_counts,
    bounded_positions,
    executions_by_id,
    pages,
    pending_by_flow,
)

__all__ = [
    "Execution",
    "ExecutionFilter",
    "ExecutionPage",
    "NodeExecution",
    "NodeKey",
    "Selection",
    "StoredPayload",
    "any_pending",
    "bounded_counts",
    "bounded_positions",
    "executions_by_id",
    "nodes_by_execution",
    "nodes_by_key",
    "pages",
    "payloads_by_execution",
    "payloads_by_node",
    "pending_by_flow",
    "stacks_by_execution",
]
