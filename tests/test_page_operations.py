"""The page's real operations, as its build keeps them in tests/operations/page, answer without errors."""

from pathlib import Path
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from recorder import accept, ask, finished, node_finished, node_started, register, started
from support import Service

OPERATIONS = sorted(Path(__file__).with_name("operations").joinpath("page").glob("*.graphql"))
QUERIES = {path.stem: path.read_text() for path in OPERATIONS if path.stem != "ExecutionChanges"}


@pytest.mark.parametrize("document", QUERIES.values(), ids=QUERIES.keys())
async def test_a_query_of_the_page_is_answered(service: Service, document: str) -> None:
    await register(service, {"toolName": "ship", "name": "Ship"})
    id_ = str(uuid7())
    await accept(service, started(id_), node_started(id_), node_finished(id_), finished(id_, error="EXCEPTION"))
    execution = await ask(service, "query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { id } }", uuid=id_)
    given: dict[str, Any] = {
        "server": "orders",
        "toolName": "ship",
        "first": 20,
        "uuid": id_,
        "id": execution["execution"]["id"],
    }
    answer = await ask(service, document, **{name: value for name, value in given.items() if f"${name}:" in document})
    assert all(answer.values())
