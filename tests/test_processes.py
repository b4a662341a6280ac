"""Several processes over one database: killed, stopped and observed under load (spec 6.4, 6.5, 6.6)."""

import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from load import HEADERS, OK, QUERY, Load, assert_kept
from processes import RECORD_TOKEN, serving
from recorder import RECORD, iso, now, started
from relay import Relay


async def test_a_process_killed_under_load_loses_nothing_acknowledged(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(serving(database_url, tmp_path / name)) for name in ("one", "two")]
        balancer = await stack.enter_async_context(Relay([process.port for process in processes]).running())
        load = Load(balancer.url, RECORD_TOKEN)
        await load.during(processes[0].stop(signal.SIGKILL))
    assert load.reads.total() - load.reads[OK] <= 4, load.reads  # one for each reader: what was under way
    await assert_kept(load, database_url)


async def test_stopping_under_load_shows_nobody_an_error(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(serving(database_url, tmp_path / name)) for name in ("one", "two")]
        balancer = await stack.enter_async_context(Relay([process.port for process in processes]).running())
        load = Load(balancer.url, RECORD_TOKEN)
        await load.during(processes[0].stop(signal.SIGTERM))
        assert processes[0].process.returncode == 0
    assert set(load.reads) == set(load.writes) == {OK}, (load.reads, load.writes)
    await assert_kept(load, database_url)


async def test_metrics_of_several_workers_are_added_up(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path / "data", "--workers", "2") as process:
        async with httpx2.AsyncClient(base_url=process.url, headers=HEADERS | {"connection": "close"}) as client:
            for _ in range(12):
                assert (await client.post("/graphql", json={"query": QUERY})).status_code == 200
            scraped = [(await client.get("/metrics")).text for _ in range(3)]
        assert await process.stop() == 0
    for text in scraped:
        assert 'flowtrail_graphql_operations_total{outcome="OK",type="query"} 12.0' in text
        assert "pid=" not in text


async def test_a_log_is_one_json_object_a_line_and_keeps_secrets_out(database_url: str, tmp_path: Path) -> None:
    secret = "s3cr3t-that-nobody-may-read"
    async with (
        serving(database_url, tmp_path / "data", FLOWTRAIL_LOG_LEVEL="debug", FLOWTRAIL_READ_TOKEN=f"read-{secret}") as process,
        httpx2.AsyncClient(base_url=process.url) as client,
    ):
        begin = started(params={"password": secret})
        for headers, path, body in (
            ({"authorization": f"Bearer {RECORD_TOKEN}"}, "/graphql", {"query": RECORD, "variables": {"input": {
                "sentAt": iso(now()), "events": [begin]}}}),
            ({"authorization": f"Bearer read-{secret}"}, "/graphql", {"query": QUERY}),
            ({"authorization": f"Bearer wrong-{secret}"}, "/graphql", {"query": QUERY}),
            ({}, f"/graphql?token={secret}", {"query": QUERY}),
            ({"cookie": f"flowtrail_session={secret}"}, "/graphql", {"query": QUERY}),
            ({}, "/graphql", {"query": f'{{ node(id: "{secret}") {{ id }} }}'}),
            ({"x-request-id": "asked-for-by-a-proxy"}, f"/{secret}", {}),
        ):  # fmt: skip
            answer = await client.post(path, json=body, headers=headers)
            assert answer.headers["x-request-id"]
        assert await process.stop() == 0
        lines = process.lines
    events = [json.loads(line) for line in lines]
    assert all({"timestamp", "level", "event"} <= event.keys() for event in events)
    requests = [event for event in events if event["event"] == "request" and event["route"] != "/readyz"]
    assert {event["request_id"] for event in requests} >= {"asked-for-by-a-proxy"}
    assert 401 in {event["status"] for event in requests}
    assert secret not in "\n".join(lines)
    assert RECORD_TOKEN not in "\n".join(lines)
