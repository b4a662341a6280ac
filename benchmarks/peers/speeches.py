"""How to ask each peer for what flowtrail.bench.documents asks, and how to read its answer as the same data."""

from typing import Any

from flowtrail.bench.servers import Speech

_ROW = """uuid status startedAt endedAt durationMs flowName flowToolName initialParamsPreview isPreview nodeCount
      errorInfo { kind message nodeName }"""
_NODE = "position nodeId nodeName nodeType status startedAt endedAt durationMs inputData outputData error"
_PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


def _by_hand(argument: str, type_: str) -> Speech:
    """A schema written by hand, which calls everything as Flowtrail does but the argument of an id."""
    return Speech(
        documents={
            "page": f"""query Page($flow: {type_}!) {{
  flow({argument}: $flow) {{ name executions(first: 50) {{ edges {{ cursor node {{ {_ROW} }} }} {_PAGE_INFO} }} }}
}}""",
            "details": f"""query Details($uuid: {type_}!) {{
  execution({argument}: $uuid) {{ {_ROW} initialParams result nodeExecutions {{ {_NODE} }} }}
}}""",
        }
    )


MERCURIUS = _by_hand("id", "ID")
STRAWBERRY = _by_hand("uuid", "UUID")

_GENERATED_ROW = """uuid: rowId status startedAt endedAt durationMs flowName flowToolName initialParamsPreview isPreview nodeCount
      errorKind errorMessage failedNodeName"""


def _from_generated(data: Any) -> Any:
    if "flow" in data:
        executions = data["flow"]["executions"]
        edges = [{"cursor": edge["cursor"], "node": _with_error(edge["node"])} for edge in executions["edges"]]
        return {"flow": {**data["flow"], "executions": {**executions, "edges": edges}}}
    execution = _with_error(data["execution"])
    nodes, payload = execution.pop("nodes")["nodes"], execution.pop("payload")
    return {"execution": {**execution, **payload, "nodeExecutions": nodes}}


def _with_error(row: dict[str, Any]) -> dict[str, Any]:
    kind, message, node = (row.pop(name) for name in ("errorKind", "errorMessage", "failedNodeName"))
    return {**row, "errorInfo": {"kind": kind, "message": message, "nodeName": node} if kind else None}


POSTGRAPHILE = Speech(
    documents={
        "page": f"""query Page($flow: UUID!) {{
  flow: flowByRowId(rowId: $flow) {{ name executions: executionsByFlowId(first: 50, orderBy: [STARTED_AT_DESC, ROW_ID_DESC]) {{
    edges {{ cursor node {{ {_GENERATED_ROW} }} }} {_PAGE_INFO}
  }} }}
}}""",
        "details": f"""query Details($uuid: UUID!) {{
  execution: executionByRowId(rowId: $uuid) {{ {_GENERATED_ROW}
    payload: executionPayloadByExecutionId {{ initialParams result }}
    nodes: nodeExecutionsByExecutionId(orderBy: [POSITION_ASC]) {{ nodes {{ {_NODE} }} }}
  }}
}}""",
    },
    understood=_from_generated,
)


def _from_rest(data: Any) -> Any:
    if "edges" not in data:
        return {"execution": data}
    return {"flow": {"name": data.pop("name"), "executions": data}}


REST = Speech(
    paths={"page": "/flows/{flow}/executions?first=50", "details": "/executions/{uuid}"},
    understood=_from_rest,
)
