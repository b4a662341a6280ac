"""What a client learns when something is wrong: which argument and why; of our own faults nothing but an id (spec 2.10, 4.1)."""

import base64
import uuid
from typing import Any

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from flowtrail import tokens
from flowtrail.database import Database
from reader import count, page
from recorder import RECORD, REGISTER, accept, ask, error_of, id_of, iso, now, register, send, started
from support import Service

UNKNOWN = uuid.UUID(int=7)
READ_TOKEN = "read-token-of-the-tests"


def global_id(type_name: str, key: object = UNKNOWN, *position: int) -> str:
    return encoded(":".join([type_name, str(key), *map(str, position)]).encode())


def encoded(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


MUTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "registerFlows": (REGISTER, {"server": "orders", "flows": [{"toolName": "ship"}]}),
    "recordEvents": (RECORD, {"sentAt": iso(now()), "events": [started()]}),
    "reportRecorder": (
        "mutation ($input: RecorderReportInput!) { reportRecorder(input: $input) { recorder { server } } }",
        {"server": "orders", "instance": "one", "version": "1", "droppedExecutions": 0},
    ),
    "deleteFlow": ("mutation ($input: DeleteFlowInput!) { deleteFlow(input: $input) { deletedId } }", {"id": global_id("Flow")}),
}


async def told(service: Service, document: str, token: str | None, variables: dict[str, Any]) -> tuple[str, str]:
    error = await error_of(service, document, token=token, **variables)
    return error["extensions"]["code"], error["message"]


class TestWithAReadToken:
    @pytest.fixture
    def read_token(self) -> str | None:
        return READ_TOKEN

    async def test_no_mutation_goes_through_without_a_recorder_token(self, service: Service) -> None:
        codes = {}
        for name, (document, input_) in MUTATIONS.items():
            for token in (None, READ_TOKEN, "made-up"):
                response = await service.execute(document, {"input": input_}, token=token)
                (error,) = response["errors"]
                assert not response.get("data")
                codes[name, token] = error["extensions"]["code"]
        assert codes == {
            (name, token): "FORBIDDEN" if token == READ_TOKEN else "UNAUTHENTICATED"
            for name in MUTATIONS
            for token in (None, READ_TOKEN, "made-up")
        }
        document = "{ executions { totalCount } flows { totalCount } recorders { server } }"
        response = await service.execute(document, token=READ_TOKEN)
        assert response == {"data": {"executions": {"totalCount": 0}, "flows": {"totalCount": 0}, "recorders": []}}

    async def test_reading_needs_the_token_everywhere(self, service: Service) -> None:
        for field in (
            "executions { totalCount }",
            "flows { totalCount }",
            "recorders { server }",
            f'node(id: "{global_id("Flow")}") {{ id }}',
            f'flow(by: {{uuid: "{UNKNOWN}"}}) {{ id }}',
            f'execution(by: {{uuid: "{UNKNOWN}"}}) {{ id }}',
        ):
            assert (await told(service, f"{{ {field} }}", None, {}))[0] == "UNAUTHENTICATED"
            assert "errors" not in await service.execute(f"{{ {field} }}", token=READ_TOKEN)


async def limited(database: Database, scope: tokens.Scope, *servers: str) -> str:
    async with database.write() as write:
        return await tokens.create(write, f"{scope} {servers}", scope, servers)


async def test_a_token_for_one_server_records_for_no_other(service: Service, database: Database) -> None:
    token = await limited(database, "record", "orders")
    theirs, ours = str(uuid7()), str(uuid7())
    await accept(service, started(theirs, server="depot"))
    receipts = await send(service, started(ours), started(server="depot"), started(theirs, server="orders"), token=token)
    assert [receipt["code"] for receipt in receipts] == [None, "FORBIDDEN", "FORBIDDEN"]
    (depot,) = await register(service, {"toolName": "ship"}, server="depot")
    for name, changed, code in (
        ("registerFlows", {"server": "depot"}, "FORBIDDEN"),
        ("reportRecorder", {"server": "depot"}, "FORBIDDEN"),
        ("deleteFlow", {"id": depot["id"]}, "NOT_FOUND"),  # whether there is such a flow is not told
    ):
        document, input_ = MUTATIONS[name]
        assert (await told(service, document, token, {"input": input_ | changed}))[0] == code
    assert "errors" not in await service.execute(
        *MUTATIONS["registerFlows"][:1], {"input": MUTATIONS["registerFlows"][1]}, token=token
    )


async def test_a_token_for_one_server_reads_nothing_of_another(service: Service, database: Database) -> None:
    token = await limited(database, "read", "orders")
    ours, theirs = str(uuid7()), str(uuid7())
    await accept(service, started(theirs, server="depot"), started(ours, parentExecutionId=theirs))
    (flow,) = await register(service, {"toolName": "ship"}, server="depot")
    document = """query ($execution: UUID!, $id: ID!, $flow: UUID!) {
      executions { totalCount hasPendingExecutions edges { node { uuid parent { uuid } } } pageCursors { last { page } } }
      other: executions(filter: {server: ["depot"]}) { totalCount edges { node { uuid } } }
      byFlow: executions(filter: {flowId: [$id]}) { totalCount edges { node { uuid } } }
      flows { totalCount edges { node { server } } }
      execution(by: {uuid: $execution}) { uuid }
      node(id: $id) { id }
      flow(by: {uuid: $flow}) { uuid }
      tool: flow(by: {tool: {server: "depot", toolName: "ship"}}) { uuid }
    }"""
    response = await service.execute(document, {"execution": theirs, "id": flow["id"], "flow": flow["uuid"]}, token=token)
    nothing: dict[str, Any] = {"totalCount": 0, "edges": []}
    assert response["data"] == {
        "executions": {
            "totalCount": 1,
            "hasPendingExecutions": True,
            "edges": [{"node": {"uuid": ours, "parent": None}}],
            "pageCursors": {"last": {"page": 1}},
        },
        "other": nothing,
        "byFlow": nothing,
        "flows": {"totalCount": 1, "edges": [{"node": {"server": "orders"}}]},
        "execution": None,
        "node": None,
        "flow": None,
        "tool": None,
    }


CONNECTIONS = {
    "executions": "query ($first: Int, $after: String, $last: Int, $before: String) { executions(first: $first, after: $after, "
    "last: $last, before: $before) { edges { cursor } } }",
    "flows": "query ($first: Int, $after: String, $last: Int, $before: String) { flows(first: $first, after: $after, "
    "last: $last, before: $before) { edges { cursor } } }",
}
WRONG_PAGES: dict[str, dict[str, Any]] = {
    "first: -1 is outside 0 to 100": {"first": -1},
    "first: 101 is outside 0 to 100": {"first": 101},
    "last: -1 is outside 0 to 100": {"last": -1},
    "last: 101 is outside 0 to 100": {"last": 101},
    "first: -2147483648 is outside 0 to 100": {"first": -(2**31)},
    "first and last can't be given together: first pages forward, last backward": {"first": 1, "last": 1},
}
WRONG_CURSORS = (
    "",
    "nonsense",
    "%",
    "é",
    "\0",
    "\ud800",
    "A" * 100_000,
    encoded(b"[" * 50_000),
    encoded(b"\x01" + b"\x7f" + b"\xff" * 23),
    encoded(b"\x02" + bytes(24)),
    encoded(b"\x01" + bytes(24) + b"\xff\xff\xff\xff"),
    encoded(b"\x01" + bytes(28)),
    encoded(b'["orders"]'),
    encoded(b'["orders", 7]'),
    encoded(b"{}"),
    global_id("Execution"),
    global_id("Flow"),
)


async def test_a_wrong_page_says_which_argument_and_why(service: Service) -> None:
    for document in CONNECTIONS.values():
        for message, variables in WRONG_PAGES.items():
            assert await told(service, document, None, variables) == ("BAD_USER_INPUT", message)
        for argument in ("after", "before"):
            for cursor in WRONG_CURSORS:
                code, message = await told(service, document, None, {argument: cursor})
                assert (code, message) == ("BAD_USER_INPUT", f"{argument}: not a cursor of this connection")
        for first in (10**12, 2**31, "1", 1.5, True):
            code, message = await told(service, document, None, {"first": first})
            assert (code, "$first" in message) == ("BAD_USER_INPUT", True)


async def test_cursors_of_executions_and_flows_are_told_apart(service: Service) -> None:
    await accept(service, started())
    cursors = {name: (await ask(service, document))[name]["edges"][0]["cursor"] for name, document in CONNECTIONS.items()}
    for name, other in (("executions", "flows"), ("flows", "executions")):
        code, message = await told(service, CONNECTIONS[name], None, {"after": cursors[other]})
        assert (code, message) == ("BAD_USER_INPUT", "after: not a cursor of this connection")


WRONG_IDS = (
    "",
    "nonsense",
    "\0",
    "\ud800",
    "é",
    encoded(b"Flow"),
    encoded(b"Nothing:7"),
    global_id("Flow", "x"),
    global_id("Execution", UNKNOWN, 1),
)


async def test_a_wrong_id_says_which_argument_and_why(service: Service) -> None:
    documents = {
        "id": "query ($id: ID!) { node(id: $id) { id } }",
        "by.id": "query ($id: ID!) { execution(by: {id: $id}) { id } }",
        "input.id": "mutation ($id: ID!) { deleteFlow(input: {id: $id}) { deletedId } }",
    }
    for argument, document in documents.items():
        for id_ in (
            *WRONG_IDS,
            global_id("NodeExecution"),
            global_id("NodeExecution", UNKNOWN, 10**10),
            global_id("NodeExecution", UNKNOWN, -1),
        ):
            code, message = await told(service, document, service.record_token, {"id": id_})
            assert (code, message) == ("BAD_USER_INPUT", f"{argument}: not an id of this service")
    for document, type_name, wanted, argument in (
        (documents["by.id"], "Flow", "Execution", "by.id"),
        ("query ($id: ID!) { flow(by: {id: $id}) { id } }", "Execution", "Flow", "by.id"),
        (documents["input.id"], "Execution", "Flow", "input.id"),
    ):
        told_ = await told(service, document, service.record_token, {"id": global_id(type_name)})
        assert told_ == ("BAD_USER_INPUT", f"{argument}: the id is one of {type_name}, where one of {wanted} is needed")


async def test_unknown_ids_are_null_in_queries_and_not_found_in_mutations(service: Service) -> None:
    fields = {
        "a": f'node(id: "{global_id("Flow")}") {{ id }}',
        "b": f'node(id: "{global_id("Execution")}") {{ id }}',
        "c": f'node(id: "{global_id("NodeExecution", UNKNOWN, 0)}") {{ id }}',
        "d": f'flow(by: {{id: "{global_id("Flow")}"}}) {{ id }}',
        "e": f'flow(by: {{uuid: "{UNKNOWN}"}}) {{ id }}',
        "f": 'flow(by: {tool: {server: "orders", toolName: "\\u0000"}}) { id }',
        "g": f'execution(by: {{id: "{global_id("Execution")}"}}) {{ id }}',
        "h": f'execution(by: {{uuid: "{UNKNOWN}"}}) {{ id }}',
    }
    document = " ".join(f"{name}: {field}" for name, field in fields.items())
    assert await ask(service, f"{{ {document} }}") == dict.fromkeys(fields)
    document, input_ = MUTATIONS["deleteFlow"]
    assert await told(service, document, service.record_token, {"input": input_}) == ("NOT_FOUND", "id: there is no such flow")


@pytest.mark.parametrize(
    "by",
    [
        "{}",
        "{uuid: null}",
        f'{{uuid: "{UNKNOWN}", id: "x"}}',
        '{uuid: "nonsense"}',
        f'{{uuid: "{UNKNOWN.hex}"}}',
        "{uuid: 7}",
    ],
)
async def test_an_object_is_named_in_exactly_one_way(service: Service, by: str) -> None:
    for field in ("flow", "execution"):
        assert (await told(service, f"{{ {field}(by: {by}) {{ id }} }}", None, {}))[0] == "BAD_USER_INPUT"


async def test_a_time_must_be_one(service: Service) -> None:
    document = "query ($time: DateTime!) { executions(filter: {startedAt: {from: $time}}) { totalCount } }"
    for time in (
        "2026-05-17",
        "2026-05-17T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-05-17T25:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "now",
        7,
    ):
        assert (await told(service, document, None, {"time": time}))[0] == "BAD_USER_INPUT"
    for time in (
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2026-05-17T12:00:00.1234567-05:30",
        "2026-05-17t12:00:00z",
    ):
        assert (await ask(service, document, time=time))["executions"]["totalCount"] == 0


async def test_our_own_faults_are_masked_and_logged_once_under_an_id(service: Service, database: Database) -> None:
    await accept(service, started())
    async with database.write() as write:
        await write.execute("ALTER TABLE execution_payload RENAME TO lost")
    with capture_logs() as logs:
        error = await error_of(service, "{ executions { edges { node { initialParams } } } }")
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["path"] == ["executions"]
    assert "lost" not in error["message"]
    assert "execution_payload" not in str(error)
    (logged,) = [entry for entry in logs if entry["event"] == "unexpected error"]
    assert logged["error_id"] == error["extensions"]["id"]
    assert logged["error_id"] in error["message"]


async def test_what_belongs_to_an_execution_fails_its_field_and_not_the_list(service: Service, database: Database) -> None:
    start = started()
    await accept(service, start)
    async with database.write() as write:
        await write.execute("ALTER TABLE flow RENAME TO lost")
    for _ in range(2):
        answer = await service.execute("{ executions { edges { node { uuid flow { name } } } } }")
        (edge,) = answer["data"]["executions"]["edges"]
        assert edge["node"] == {"uuid": id_of(start), "flow": None}
        assert [error["path"] for error in answer["errors"]] == [["executions", "edges", 0, "node", "flow"]]


async def test_a_list_reads_no_payload_table(service: Service, database: Database) -> None:
    await accept(service, started())
    async with database.write() as write:
        await write.execute("ALTER TABLE execution_payload RENAME TO lost")
    assert len((await page(service))["edges"]) == 1
    assert await count(service, status=["PENDING"]) == 1


async def test_a_statement_that_takes_too_long_is_a_timeout(service: Service, start_service: Any, database: Database) -> None:
    await accept(service, started())
    hasty = await start_service(statement_timeout=0.2, lock_timeout=0.1, fold_interval=None, sweep_interval=None)
    async with database.write() as write:
        await write.execute("LOCK TABLE execution IN ACCESS EXCLUSIVE MODE")
        assert (await told(hasty, CONNECTIONS["executions"], None, {}))[0] == "TIMEOUT"
        document, input_ = MUTATIONS["recordEvents"]
        assert (await told(hasty, document, hasty.record_token, {"input": input_}))[0] == "TIMEOUT"
    assert await count(service) == 1


async def test_what_a_report_says_is_checked(service: Service) -> None:
    document, input_ = MUTATIONS["reportRecorder"]
    wrong: dict[str, dict[str, Any]] = {
        "input.server: must have 1 to 500 characters": {"server": ""},
        "input.instance: must have 1 to 500 characters": {"instance": "x" * 501},
        "input.version: must have 1 to 500 characters": {"version": ""},
        "input.droppedExecutions: -1 is negative": {"droppedExecutions": -1},
    }
    for message, changed in wrong.items():
        assert await told(service, document, service.record_token, {"input": input_ | changed}) == ("BAD_USER_INPUT", message)
    for dropped in (0, 3):
        variables = {"input": input_ | {"droppedExecutions": dropped, "instance": "a\0b", "droppedSince": "2026-05-17T12:00:00Z"}}
        assert "errors" not in await service.execute(document, variables, token=service.record_token)
    found = (await ask(service, "{ recorders { server instance version droppedExecutions droppedSince clockSkewMs } }"))[
        "recorders"
    ]
    assert found == [
        {
            "server": "orders",
            "instance": "a\u2400b",
            "version": "1",
            "droppedExecutions": 3,
            "droppedSince": "2026-05-17T12:00:00.000000Z",
            "clockSkewMs": 0,
        }
    ]
