"""What an operator sees: metrics checked against what was done, traces as a collector gets them, health (spec 6.4)."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from flowtrail.observability import metrics
from live import CHANGES, socket
from processes import RECORD_TOKEN, serving
from recorder import RECORD, accept, finished, id_of, iso, node_finished, node_started, now, send, started
from support import Service

DEPLOYMENT = Path(__file__).parent.parent / "docs" / "deployment"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(service: Service, token: str | None = None) -> Samples:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    response = await service.client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.text
    families = text_string_to_metric_families(response.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


async def test_metrics_tell_what_was_done(service: Service) -> None:
    before = await scraped(service)
    good, bad = started(), started()
    await accept(service, good, node_started(id_of(good)), node_finished(id_of(good)), finished(id_of(good)))
    await accept(service, bad, finished(id_of(bad), error="EXCEPTION"))
    assert [receipt["outcome"] for receipt in await send(service, good, finished(id_of(started())))] == ["DUPLICATE", "REJECTED"]
    for _ in range(3):
        await service.execute("{ flows { edges { node { server } } } }")
    await service.execute("{ nothing }")
    here = (await service.execute("{ executions { changeCursor } }"))["data"]["executions"]["changeCursor"]
    async with socket(service) as client:
        await client.subscribe(CHANGES, after=here)
        await accept(service, started())
        await client.event()
        during = await scraped(service)
    # The socket is closed before the service has ended what ran over it.
    with anyio.fail_after(30):
        while value(await scraped(service), "flowtrail_subscribers") != value(before, "flowtrail_subscribers"):
            await anyio.sleep(0.01)

    def grown(name: str, **labels: str) -> float:
        return value(during, name, **labels) - value(before, name, **labels)

    assert grown("flowtrail_recorded_events_total", outcome="ACCEPTED") == 7
    assert grown("flowtrail_recorded_events_total", outcome="DUPLICATE") == 1
    assert grown("flowtrail_recorded_events_total", outcome="REJECTED") == 1
    assert grown("flowtrail_executions_ended_total", status="FULFILLED") == 1
    assert grown("flowtrail_executions_ended_total", status="ERROR") == 1
    assert grown("flowtrail_graphql_operations_total", type="query", outcome="OK") == 4
    assert grown("flowtrail_graphql_operations_total", type="mutation", outcome="OK") == 4
    assert grown("flowtrail_graphql_operation_duration_seconds_count", type="mutation") == 4
    assert grown("flowtrail_subscribers") == 1
    assert grown("flowtrail_streams") == 1
    assert value(during, "flowtrail_feed_last_read_timestamp_seconds") > value(during, "process_start_time_seconds")
    assert value(during, "flowtrail_upkeep_last_success_timestamp_seconds", work="fold") > 0


async def test_what_recorders_gave_up_is_a_metric(service: Service) -> None:
    report = "mutation($input: RecorderReportInput!) { reportRecorder(input: $input) { recorder { server } } }"
    for instance, dropped in (("one", 3), ("two", 4)):
        given = {"server": "orders", "instance": instance, "version": "1", "droppedExecutions": dropped, "droppedSince": iso(now())}
        response = await service.execute(report, {"input": given}, token=service.record_token)
        assert "errors" not in response, response
    assert value(await scraped(service), "flowtrail_recorders_dropped_executions", server="orders") == 7


async def test_metrics_need_access_where_reading_does(start_service: Any) -> None:
    service = await start_service(read_token="a-readers-token")
    refused = await service.client.get("/metrics")
    assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
    assert value(await scraped(service, "a-readers-token"), "flowtrail_build_info", version="0.1.0") == 1


async def test_a_request_keeps_the_id_it_came_with_unless_that_could_forge_a_log(service: Service) -> None:
    kept = await service.client.get("/healthz", headers={"x-request-id": "id-of-a-proxy/7"})
    assert kept.headers["x-request-id"] == "id-of-a-proxy/7"
    for forged in ("two words", "x" * 129, "é", ""):
        response = await service.client.get("/healthz", headers=[(b"x-request-id", forged.encode())])
        assert re.fullmatch("[0-9a-f]{16}", response.headers["x-request-id"])


def test_dashboard_and_alerts_name_metrics_that_exist() -> None:
    exposed = metrics.exposition().decode()
    known = set(re.findall(r"^# TYPE (\S+)", exposed, re.MULTILINE))
    for file in ("grafana-dashboard.json", "alerts.yaml"):
        text = (DEPLOYMENT / file).read_text()
        used = set(re.findall(r"\b(?:flowtrail|process)_[a-z_]+", text)) - {"flowtrail_"}
        assert used, file
        assert {re.sub("_bucket$", "", name) for name in used} <= known, file
    json.loads((DEPLOYMENT / "grafana-dashboard.json").read_text())


@dataclass
class Collector:
    """A collector that takes spans by OTLP over HTTP."""

    url: str
    spans: list[Span] = field(default_factory=list)

    def named(self, name: str) -> Span:
        (span,) = [span for span in self.spans if span.name == name]
        return span


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            running.spans += [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_request_is_traced_from_http_to_sql(database_url: str, tmp_path: Path) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    secret = "s3cr3t-that-nobody-may-read"
    with collector() as running:
        async with (
            serving(database_url, tmp_path / "data", OTEL_EXPORTER_OTLP_ENDPOINT=running.url) as process,
            httpx2.AsyncClient(base_url=process.url) as client,
        ):
            headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "authorization": f"Bearer {RECORD_TOKEN}"}
            given = {"sentAt": iso(now()), "events": [started(params={"password": secret})]}
            await client.post("/graphql", json={"query": RECORD, "variables": {"input": given}}, headers=headers)
            query = {"query": "query Latest { executions(first: 1) { edges { node { uuid } } } }"}
            await client.post("/graphql", json=query, headers=headers)
            assert await process.stop() == 0
        spans = [span for span in running.spans if span.trace_id.hex() == trace_id]
        by_id = {span.span_id: span for span in spans}

        def ancestry(span: Span) -> list[str]:
            names = [span.name]
            while span.parent_span_id in by_id:
                span = by_id[span.parent_span_id]
                names.append(span.name)
            return [name for name in names if not name.startswith("fastapi")]

        statements = [ancestry(span) for span in spans if span.name == "SELECT"]
        assert ["SELECT", "Query.executions", "query Latest", "POST /graphql"] in statements
        assert any(line[1:] == ["Mutation.recordEvents", "mutation Record", "POST /graphql"] for line in statements)
        assert secret not in str(running.spans)
        assert RECORD_TOKEN not in str(running.spans)
