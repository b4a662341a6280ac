"""`flowtrail flows`: speaks to a running service over GraphQL, as the wrapper does (spec 4.1)."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from flowtrail.errors import FlowtrailError, NotFound, Unavailable

app = App(name="flows", help="List and delete the flows of the service at FLOWTRAIL_URL.")

_LIST = """
query Flows($after: String) {
  flows(first: 100, after: $after) {
    edges { node { server toolName name } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
_FIND = "query Flow($tool: FlowTool!) { flow(by: {tool: $tool}) { id } }"
_DELETE = "mutation DeleteFlow($id: ID!) { deleteFlow(input: {id: $id}) { deletedId } }"


@app.command(name="list")
def list_() -> None:
    """List every flow: server, tool and name, separated by tabs.

    Example: `FLOWTRAIL_URL=http://127.0.0.1:8000/graphql flowtrail flows list`
    """
    after = None
    while True:
        page = _ask(_LIST, {"after": after})["flows"]
        for edge in page["edges"]:
            print(edge["node"]["server"], edge["node"]["toolName"], edge["node"]["name"], sep="\t")
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


@app.command
def delete(server: str, tool: str) -> None:
    """Delete a flow. Its executions stay; the tool's next call makes a new flow.

    Example: `flowtrail flows delete orders ship_order`

    Parameters
    ----------
    server
        The name of the MCP server.
    tool
        The name of the tool.
    """
    flow = _ask(_FIND, {"tool": {"server": server, "toolName": tool}})["flow"]
    if flow is None:
        raise NotFound(f"there is no flow for the tool {tool} of {server}")
    _ask(_DELETE, {"id": flow["id"]})
    print(f"The flow {tool} of {server} is deleted; its executions stay.")


def _ask(document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an operation, sent with the recorder token of this machine."""
    import httpx2

    from flowtrail.mcp.configuration import Configuration

    configuration = Configuration.from_environment()
    token = configuration.find_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        request = {"query": document, "variables": variables}
        answer = httpx2.post(configuration.url, json=request, headers=headers, timeout=30).json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Unavailable(f"{configuration.url} does not answer as Flowtrail does: {error}") from error
    if answer.get("errors"):
        raise FlowtrailError(answer["errors"][0]["message"])
    data: dict[str, Any] = answer["data"]
    return data
