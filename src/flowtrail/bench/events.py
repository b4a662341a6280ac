"""What recorders send: executions with nodes, as the JSON of the API and as the events that the service makes of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from flowtrail.bench.table import SERVER
from flowtrail.parameters import digests_of
from flowtrail.recording.events import Event, Finished, NodeFinished, NodeStarted, Started, payload_of
from flowtrail.recording.preview import preview_of

RECORD = "mutation RecordEvents($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome code reason } } }"
NODES = 5
_NODE_TIME = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole executions, each from its start over NODES nodes to its end."""

    sent_at: datetime
    ids: tuple[uuid.UUID, ...]
    tools: tuple[str, ...]

    @classmethod
    def of(cls, tools: list[str]) -> Batch:
        """Return a batch of one execution of each of these tools, by name."""
        return cls(datetime.now(UTC), tuple(uuid7() for _ in tools), tuple(tools))

    @property
    def variables(self) -> dict[str, Any]:
        """As recordEvents takes them."""
        events = [event for id_, tool in zip(self.ids, self.tools, strict=True) for event in self._as_sent(id_, tool)]
        return {"input": {"sentAt": self.sent_at.isoformat(), "events": events}}

    @property
    def events(self) -> list[Event]:
        """The same, as the service keeps them."""
        return [event for id_, tool in zip(self.ids, self.tools, strict=True) for event in self._as_kept(id_, tool)]

    def _as_sent(self, id_: uuid.UUID, tool: str) -> list[dict[str, Any]]:
        key: dict[str, Any] = {"executionId": str(id_)}
        start = {"server": SERVER, "toolName": tool, "startedAt": self._time(0).isoformat(), "initialParams": _params(id_)}
        sent: list[dict[str, Any]] = [{"started": {**key, **start}}]
        for position in range(NODES):
            node = {**key, "position": position}
            names = {"nodeId": f"step-{position}", "nodeName": f"Step {position}", "nodeType": "step"}
            begin, end = self._time(position).isoformat(), self._time(position + 1).isoformat()
            sent.append({"nodeStarted": {**node, **names, "startedAt": begin, "inputData": _value(position)}})
            sent.append({"nodeFinished": {**node, "status": "COMPLETED", "endedAt": end, "outputData": _value(position)}})
        return [*sent, {"finished": {**key, "status": "FULFILLED", "endedAt": self._time(NODES).isoformat(), "result": _RESULT}}]

    def _as_kept(self, id_: uuid.UUID, tool: str) -> list[Event]:
        params = _params(id_)
        kept: list[Event] = [
            Started(
                execution_id=id_,
                server=SERVER,
                tool_name=tool,
                started_at=self._time(0),
                initial_params=payload_of("initialParams", params, None),
                initial_params_preview=preview_of(params),
                tool_exists=True,
                is_preview=False,
                client_name=None,
                client_version=None,
                caller_subject=None,
                caller_client_id=None,
                caller_session_id=None,
                caller_request_id=None,
                trace_id=None,
                parent_execution_id=None,
                parameter_digests=digests_of(params),
            )
        ]
        for position in range(NODES):
            value = payload_of("inputData", _value(position), None)
            names = (f"step-{position}", f"Step {position}", "step")
            kept.append(NodeStarted(id_, position, None, *names, self._time(position), value))
            kept.append(NodeFinished(id_, position, "COMPLETED", self._time(position + 1), value, None))
        return [*kept, Finished(id_, "FULFILLED", self._time(NODES), payload_of("result", _RESULT, None), None)]

    def _time(self, nodes: int) -> datetime:
        return self.sent_at - timedelta(seconds=1) + nodes * _NODE_TIME


def _params(id_: uuid.UUID) -> dict[str, Any]:
    return {"city": "Oslo", "order": str(id_), "express": True}


def _value(position: int) -> dict[str, Any]:
    return {"position": position, "text": "x" * 80}


_RESULT = {"tracking": "x" * 40, "parcels": [1, 2, 3]}
