"""The change feed as subscribers see it (spec 3)."""

from live import CHANGES, socket
from recorder import accept, ask, finished, id_of, node_finished, node_started, started
from support import Service


async def test_every_step_of_an_execution_arrives_in_order(service: Service) -> None:
    async with socket(service) as client:
        await client.subscribe()
        await ask(service, "{ executions { changeCursor } }")
        start = started()
        execution_id = id_of(start)
        await accept(service, start)
        await accept(service, node_started(execution_id), node_finished(execution_id))
        await accept(service, finished(execution_id))
        events = await client.events(4)
    assert [event["kind"] for event in events] == ["STARTED", "NODE_STARTED", "NODE_FINISHED", "FINISHED"]
    assert {event["executionId"] for event in events} == {execution_id}
    assert events[-1]["execution"]["status"] == "FULFILLED"
    assert events[2]["nodeExecution"] == {"position": 0, "status": "COMPLETED"}
    assert CHANGES
