"""Any events, in any order, repeated, in batches split anywhere: receipts and end state are those of a model of one page."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from properties import examples, fresh_server
from reader import count, execution
from recorder import Event, finished, node_finished, node_started, send, started
from support import Service

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
AFTER_THE_END = ("INTERRUPTED", "TIMED_OUT")
"""The ends that a late outcome may follow."""


@dataclass(frozen=True)
class Step:
    """One thing a recorder may report of an execution; `at` are seconds after BASE."""

    what: str
    position: int
    status: str
    at: int

    def event(self, execution_id: str, server: str) -> Event:
        at = BASE + timedelta(seconds=self.at)
        match self.what:
            case "start":
                return started(execution_id, server=server, at=at)
            case "node starts":
                return node_started(execution_id, self.position, at=at)
            case "node ends":
                return node_finished(execution_id, self.position, at=at, status=self.status)
        return finished(execution_id, at=at, error=None if self.status == "FULFILLED" else self.status)


def steps() -> st.SearchStrategy[Step]:
    positions, times = st.integers(0, 2), st.integers(0, 4)
    start = st.builds(Step, st.just("start"), st.just(0), st.just(""), st.integers(0, 1))
    node_starts = st.builds(Step, st.just("node starts"), positions, st.just(""), times)
    node_ends = st.builds(Step, st.just("node ends"), positions, st.sampled_from(["COMPLETED", "ERROR"]), times)
    ends = st.builds(Step, st.just("end"), st.just(0), st.sampled_from(["FULFILLED", "EXCEPTION", *AFTER_THE_END]), times)
    return st.one_of(start, node_starts, node_ends, node_starts, node_ends, ends)


@dataclass
class Node:
    started: Step
    status: str = "PENDING"
    ended_at: int | None = None
    finished: Step | None = None


@dataclass
class Model:
    """What must be true of one execution: spec 1.2 to 1.4 and 1.8, written down once more."""

    started: Step | None = None
    nodes: dict[int, Node] = field(default_factory=dict)
    ended: Step | None = None
    late: Step | None = None
    failed_position: int | None = None

    @property
    def takes_more(self) -> bool:
        return self.ended is None or (self.ended.status in AFTER_THE_END and self.late is None)

    def receipt(self, step: Step) -> str:
        """Take a step and return its outcome, or the code of its refusal."""
        if step.what == "start":
            known, self.started = self.started, self.started or step
            return _again(known, step) if known else "ACCEPTED"
        if self.started is None:
            return "UNKNOWN_EXECUTION"
        if step.what == "node starts":
            return self._node_starts(step)
        return self._node_ends(step) if step.what == "node ends" else self._ends(step, self.started)

    def _node_starts(self, step: Step) -> str:
        if step.position in self.nodes:
            return _again(self.nodes[step.position].started, step)
        if not self.takes_more:
            return "EXECUTION_ENDED"
        cut = self.ended is not None
        self.nodes[step.position] = Node(step, "ERROR" if cut else "PENDING", step.at if cut else None)
        return "ACCEPTED"

    def _node_ends(self, step: Step) -> str:
        node = self.nodes.get(step.position)
        if node is None:
            return "UNKNOWN_NODE"
        if node.finished is not None:
            return _again(node.finished, step)
        if step.at < node.started.at:
            return "BAD_USER_INPUT"
        if not self.takes_more:
            return "EXECUTION_ENDED"
        node.finished = step
        if self.ended is None:
            node.status, node.ended_at = step.status, step.at
        return "ACCEPTED"

    def _ends(self, step: Step, start: Step) -> str:
        if step in (self.ended, self.late):
            return "DUPLICATE"
        if step.at < start.at:
            return "BAD_USER_INPUT"
        if not self.takes_more:
            return "EXECUTION_ENDED"
        if self.ended is not None:
            self.late = step
            return "ACCEPTED"
        self.ended = step
        if step.status != "FULFILLED":
            self.failed_position = self._failed_position()
        for node in self.nodes.values():
            if node.status == "PENDING":
                node.status, node.ended_at = "ERROR", max(step.at, node.started.at)
        return "ACCEPTED"

    def _failed_position(self) -> int | None:
        failed = [(node.ended_at, -position) for position, node in self.nodes.items() if node.status == "ERROR"]
        if failed:
            return -min(failed)[1]
        return max((position for position, node in self.nodes.items() if node.status == "PENDING"), default=None)

    def shown(self) -> dict[str, Any]:
        """What a reader sees."""
        end = self.ended
        return {
            "status": "PENDING" if end is None else "FULFILLED" if end.status == "FULFILLED" else "ERROR",
            "endedAt": end and end.at,
            "kind": None if end is None or end.status == "FULFILLED" else end.status,
            "failed": self.failed_position,
            "late": self.late and (self.late.status, self.late.at),
            "nodes": [(position, node.status, node.ended_at) for position, node in sorted(self.nodes.items())],
            "nodeCount": len(self.nodes),
        }


def _again(known: Step, step: Step) -> str:
    return "DUPLICATE" if known == step else "CONFLICT"


async def shown(service: Service, execution_id: str) -> dict[str, Any]:
    """What a reader really sees, in the form of `Model.shown`."""
    found = await execution(service, execution_id)
    error, late = found["errorInfo"], found["lateOutcome"]
    late_status = late and (late["errorInfo"]["kind"] if late["errorInfo"] else late["status"])
    return {
        "status": found["status"],
        "endedAt": seconds(found["endedAt"]),
        "kind": error and error["kind"],
        "failed": int(error["nodeId"].removeprefix("node-")) if error and error["nodeId"] else None,
        "late": late and (late_status, seconds(late["endedAt"])),
        "nodes": [(node["position"], node["status"], seconds(node["endedAt"])) for node in found["nodeExecutions"]],
        "nodeCount": found["nodeCount"],
    }


def seconds(time: str | None) -> int | None:
    return None if time is None else int((datetime.fromisoformat(time) - BASE).total_seconds())


def split(events: list[Event], cuts: list[int]) -> list[list[Event]]:
    """Cut a list at the given places (modulo its length)."""
    places = sorted({cut % (len(events) + 1) for cut in cuts} | {0, len(events)})
    return [events[begin:end] for begin, end in pairwise(places)]


async def told(service: Service, batches: list[list[Event]]) -> list[str]:
    """Send batches and return what their receipts say: the outcome, or the code of a refusal."""
    receipts = [receipt for batch in batches for receipt in await send(service, *batch, sent_at=BASE + timedelta(minutes=1))]
    return [receipt["code"] or receipt["outcome"] for receipt in receipts]


@examples(30)
@given(reported=st.lists(steps(), max_size=14), begin=st.integers(0, 3), cuts=st.lists(st.integers(0, 20), max_size=5))
async def test_receipts_and_end_state_are_those_of_the_model(
    service: Service, reported: list[Step], begin: int, cuts: list[int]
) -> None:
    reported.insert(min(begin, len(reported)), Step("start", 0, "", 0))
    id_, server, model = str(uuid7()), fresh_server(), Model()
    expected = [model.receipt(step) for step in reported]
    events = [step.event(id_, server) for step in reported]
    assert await told(service, split(events, cuts)) == expected
    assert await shown(service, id_) == model.shown()
    counted = {status: await count(service, server=[server], status=[status]) for status in ("PENDING", "FULFILLED", "ERROR")}
    assert counted == {"PENDING": 0, "FULFILLED": 0, "ERROR": 0} | {model.shown()["status"]: 1}

    again = await told(service, [events])
    assert {second for first, second in zip(expected, again, strict=True) if first == "ACCEPTED"} <= {"DUPLICATE"}


@examples(8)
@given(
    reported=st.lists(st.tuples(st.integers(0, 2), steps()), max_size=20),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
async def test_how_a_recorder_splits_its_batches_makes_no_difference(
    service: Service, reported: list[tuple[int, Step]], cuts: list[int]
) -> None:
    outcomes = []
    for batches_of in (lambda events: [events], lambda events: [[event] for event in events], lambda events: split(events, cuts)):
        server = fresh_server()
        ids = [str(uuid7()) for _ in range(3)]
        events = [started(id_, server=server, at=BASE) for id_ in ids]
        events += [step.event(ids[which], server) for which, step in reported]
        receipts = await told(service, batches_of(events))
        outcomes.append((receipts, [await shown(service, id_) for id_ in ids]))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_split_keeps_every_event() -> None:
    events: list[Event] = [{str(uuid.UUID(int=number)): {}} for number in range(5)]
    assert [event for batch in split(events, [2, 9, 4]) for event in batch] == events
