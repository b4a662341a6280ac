"""A recorder as tests need it: builds events, sends batches through the real mutation, and asks the real API."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from support import Service

RECORD = """
mutation Record($input: RecordEventsInput!) {
  recordEvents(input: $input) { receipts { outcome code reason } serverTime }
}"""
REGISTER = """
mutation Register($input: RegisterFlowsInput!) {
  registerFlows(input: $input) { flows { id uuid server toolName name timeoutMs } }
}"""

Event = dict[str, dict[str, Any]]


def now() -> datetime:
    return datetime.now(UTC)


def iso(time: datetime) -> str:
    return time.isoformat()


def started(
    execution_id: uuid.UUID | str | None = None,
    *,
    server: str = "orders",
    tool: str = "ship",
    at: datetime | None = None,
    params: Any = None,
    **more: Any,
) -> Event:
    return {
        "started": {
            "executionId": str(execution_id or uuid7()),
            "server": server,
            "toolName": tool,
            "startedAt": iso(at or now()),
            "initialParams": {} if params is None else params,
            **more,
        }
    }


def node_started(execution_id: uuid.UUID | str, position: int = 0, *, at: datetime | None = None, **more: Any) -> Event:
    return {
        "nodeStarted": {
            "executionId": str(execution_id),
            "position": position,
            "nodeId": f"node-{position}",
            "nodeName": f"Node {position}",
            "nodeType": "step",
            "startedAt": iso(at or now()),
            **more,
        }
    }


def node_finished(
    execution_id: uuid.UUID | str, position: int = 0, *, status: str = "COMPLETED", at: datetime | None = None, **more: Any
) -> Event:
    return {
        "nodeFinished": {
            "executionId": str(execution_id),
            "position": position,
            "status": status,
            "endedAt": iso(at or now() + timedelta(milliseconds=1)),
            **more,
        }
    }


def finished(
    execution_id: uuid.UUID | str,
    *,
    status: str = "FULFILLED",
    at: datetime | None = None,
    error: dict[str, Any] | str | None = None,
    **more: Any,
) -> Event:
    if isinstance(error, str):
        error = {"kind": error, "message": f"It was {error}"}
    return {
        "finished": {
            "executionId": str(execution_id),
            "status": "ERROR" if error else status,
            "endedAt": iso(at or now() + timedelta(milliseconds=2)),
            **({"errorInfo": error} if error else {}),
            **more,
        }
    }


def id_of(event: Event) -> str:
    (body,) = event.values()
    return str(body["executionId"])


async def send(service: Service, *events: Event, sent_at: datetime | None = None, token: str | None = None) -> list[dict[str, Any]]:
    """Send a batch and return its receipts; the request as a whole must succeed."""
    variables = {"input": {"sentAt": iso(sent_at or now()), "events": list(events)}}
    response = await service.execute(RECORD, variables, token=token or service.record_token)
    assert "errors" not in response, response
    receipts: list[dict[str, Any]] = response["data"]["recordEvents"]["receipts"]
    return receipts


async def accept(service: Service, *events: Event, sent_at: datetime | None = None) -> None:
    """Send a batch of which every event must be accepted."""
    receipts = await send(service, *events, sent_at=sent_at)
    assert [receipt["outcome"] for receipt in receipts] == ["ACCEPTED"] * len(events), receipts


async def register(service: Service, *flows: dict[str, Any], server: str = "orders") -> list[dict[str, Any]]:
    """Register flows and return them."""
    response = await service.execute(REGISTER, {"input": {"server": server, "flows": list(flows)}}, token=service.record_token)
    assert "errors" not in response, response
    registered: list[dict[str, Any]] = response["data"]["registerFlows"]["flows"]
    return registered


async def ask(service: Service, document: str, **variables: Any) -> Any:
    """Run a query that must succeed and return its data."""
    response = await service.execute(document, variables)
    assert "errors" not in response, response
    return response["data"]


async def error_of(service: Service, document: str, *, token: str | None = None, **variables: Any) -> dict[str, Any]:
    """Run an operation that must fail with one error and return it."""
    response = await service.execute(document, variables, token=token)
    (error,) = response["errors"]
    result: dict[str, Any] = error
    return result
