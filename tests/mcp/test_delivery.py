"""Whatever answers in the place of the service: nothing is lost, nothing is sent in vain, and the log says it once."""

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from flowtrail.mcp import events
from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.delivery import Delivery
from flowtrail.mcp.events import Origin
from flowtrail.mcp.payload import Payload
from flowtrail.mcp.recorder import Recorder, recorder_for
from flowtrail.mcp.spool import IN_MEMORY, Spool
from flowtrail.mcp.spooled import EventKind
from flowtrail.mcp.transport import DeliveryError, NotAllowed, Transport, Unreachable
from misbehaving import Answer, Misbehaving, Request, accept, graphql_error, misbehaving

UUID = "0190a000-0000-7000-8000-{:012d}"


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with misbehaving() as running:
        yield running


@pytest.fixture
def transport(configuration: Configuration, server: Misbehaving) -> Iterator[Transport]:
    opened = Transport(dataclasses.replace(configuration, url=server.url))
    yield opened
    opened.close()


@pytest.fixture
def spool() -> Iterator[Spool]:
    opened = Spool(IN_MEMORY, 10_000_000)
    yield opened
    opened.close()


def put(spool: Spool, number: int) -> None:
    """Put a whole call in."""
    key = UUID.format(number)
    start = events.started(
        key, "orders", "list", 1, Payload(f'{{"n":{number}}}'), tool_exists=True, origin=Origin(), parent_id=None
    )
    execution = spool.begin(key, "orders", 1, start)
    spool.append(execution, EventKind.FINISHED, 2, events.finished(key, 2, None, None))


ANSWERS: list[tuple[str, Answer, type[DeliveryError]]] = [
    ("HTML", Answer(200, "<html>Log in, please</html>", "text/html"), Unreachable),
    ("not found", Answer(404, "nothing here", "text/plain"), Unreachable),
    ("redirect", Answer(302, "", headers={"location": "http://elsewhere/"}), Unreachable),
    ("cut JSON", Answer(200, '{"data": {"recordEv'), Unreachable),
    ("empty", Answer(200, ""), Unreachable),
    ("unavailable", graphql_error("UNAVAILABLE"), Unreachable),
    ("internal", graphql_error("INTERNAL"), Unreachable),
    ("timeout", graphql_error("TIMEOUT", status=503), Unreachable),
    ("bad gateway", Answer(502, "<h1>Bad gateway</h1>", "text/html"), Unreachable),
    ("no receipts", Answer(200, '{"data": {"recordEvents": {"receipts": []}}}'), Unreachable),
    ("nonsense receipts", Answer(200, '{"data": {"recordEvents": {"receipts": [{"outcome": "MAYBE"}, null]}}}'), Unreachable),
    ("another service", Answer(200, '{"data": {"user": null}}'), Unreachable),
    ("an older service", graphql_error("BAD_USER_INPUT", "Unknown type RecordEventsInput", 400), Unreachable),
    ("wrong token", graphql_error("UNAUTHENTICATED"), NotAllowed),
    ("reader's token", graphql_error("FORBIDDEN"), NotAllowed),
    ("plain 401", Answer(401, "no", "text/plain"), NotAllowed),
]


@pytest.mark.parametrize(("answer", "error"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_without_receipts_leaves_every_event_where_it_is(
    server: Misbehaving, transport: Transport, spool: Spool, answer: Answer, error: type[DeliveryError]
) -> None:
    put(spool, 1)
    server.behaviour = lambda request: answer
    with pytest.raises(error):
        Delivery(transport).send_batch(spool)
    assert spool.state().events == 2
    assert spool.dead_letters() == []
    server.behaviour = accept
    assert Delivery(transport).send_batch(spool) == 2
    assert spool.is_empty


def test_one_bad_event_among_many_is_found_and_the_others_arrive(server: Misbehaving, transport: Transport, spool: Spool) -> None:
    for number in range(40):
        put(spool, number)
    bad = UUID.format(23)

    def refuse_one(request: Request) -> Answer:
        starts = [event["started"]["executionId"] for event in request.events if "started" in event]
        return graphql_error("BAD_USER_INPUT", "that one") if bad in starts else accept(request)

    server.behaviour = refuse_one
    delivery = Delivery(transport)
    while delivery.send_batch(spool):
        pass
    assert [(letter.execution_id, letter.kind, letter.code, letter.reason) for letter in spool.dead_letters()] == [
        (bad, EventKind.STARTED, "BAD_USER_INPUT", "that one")
    ]
    assert spool.is_empty
    accepted = [event for request in server.received if refuse_one(request).body.startswith('{"data"') for event in request.events]
    assert len(accepted) == 79


def test_a_request_too_large_for_something_on_the_way_is_sent_in_halves(
    server: Misbehaving, transport: Transport, spool: Spool
) -> None:
    for number in range(8):
        put(spool, number)
    server.behaviour = lambda request: Answer(413, "too large", "text/plain") if len(request.events) > 3 else accept(request)
    Delivery(transport).send_batch(spool)
    assert spool.is_empty
    assert spool.dead_letters() == []


def test_a_receipt_that_refuses_makes_a_dead_letter(server: Misbehaving, transport: Transport, spool: Spool) -> None:
    put(spool, 1)
    receipts = [{"outcome": "DUPLICATE"}, {"outcome": "REJECTED", "code": "CONFLICT", "reason": "another end"}]
    server.behaviour = lambda request: Answer(body=json.dumps({"data": {"recordEvents": {"receipts": receipts}}}))
    Delivery(transport).send_batch(spool)
    [letter] = spool.dead_letters()
    assert (letter.kind, letter.code, letter.reason) == (EventKind.FINISHED, "CONFLICT", "another end")
    assert spool.is_empty


def test_a_token_that_was_rotated_is_read_again(configuration: Configuration, server: Misbehaving, spool: Spool) -> None:
    token = configuration.data_dir / "record-token"
    configuration.data_dir.mkdir()
    token.write_text("old\n")

    def check(request: Request) -> Answer:
        return accept(request) if request.authorization == "Bearer new" else graphql_error("UNAUTHENTICATED", status=401)

    server.behaviour = check
    transport = Transport(dataclasses.replace(configuration, url=server.url))
    put(spool, 1)
    with pytest.raises(NotAllowed):
        Delivery(transport).send_batch(spool)
    token.write_text("new\n")
    assert Delivery(transport).send_batch(spool) == 2
    transport.close()


def test_retry_after_is_understood_in_seconds_and_as_a_date(server: Misbehaving, transport: Transport) -> None:
    for header, expected in (("7", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("99999", 300.0), ("soon", None)):
        answer = graphql_error("UNAVAILABLE", status=503)
        answer.headers["retry-after"] = header
        server.behaviour = lambda request, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(Unreachable) as raised:
            transport.execute("{ __typename }", '{"input":{}}')
        assert raised.value.retry_after == expected


def test_nobody_listening_and_a_url_that_is_none_are_unreachable(configuration: Configuration) -> None:
    for url in ("http://127.0.0.1:9/graphql", "https://127.0.0.1:9/graphql", "no url at all", "ftp://127.0.0.1/"):
        transport = Transport(dataclasses.replace(configuration, url=url))
        with pytest.raises(Unreachable):
            transport.execute("{ __typename }", "{}")
        transport.close()


def test_a_plain_http_server_behind_https_is_unreachable(configuration: Configuration, server: Misbehaving) -> None:
    transport = Transport(dataclasses.replace(configuration, url=server.url.replace("http:", "https:")))
    with pytest.raises(Unreachable):
        transport.execute("{ __typename }", "{}")
    transport.close()


@pytest.fixture
def recording(configuration: Configuration, server: Misbehaving) -> Callable[[], Recorder]:
    return lambda: recorder_for(dataclasses.replace(configuration, url=server.url))


def record(recorder: Recorder, number: int) -> None:
    key = UUID.format(number)
    start = events.started(key, "orders", "list", 1, Payload("{}"), tool_exists=True, origin=Origin(), parent_id=None)
    handle = recorder.begin(key, "orders", 1, start)
    recorder.append(handle, EventKind.FINISHED, 2, events.finished(key, 2, None, None))


def test_the_log_has_one_line_for_each_change_of_state(
    server: Misbehaving, recording: Callable[[], Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "flowtrail.mcp")
    tried_again = threading.Event()

    def unavailable(request: Request) -> Answer:
        if len(server.received) >= 2:
            tried_again.set()
        return graphql_error("UNAVAILABLE", "starting")

    server.behaviour = unavailable
    for number in range(20):
        record(recording(), number)
    assert tried_again.wait(20)
    server.behaviour = accept
    assert recording().flush(10)
    assert [message.split(" to ")[0].split(", ")[0] for message in caplog.messages] == [
        "flowtrail: events wait",
        "flowtrail: recording",
    ]


def test_a_recorder_reports_itself_and_what_it_had_to_give_up(configuration: Configuration, server: Misbehaving) -> None:
    server.behaviour = lambda request: graphql_error("UNAVAILABLE")
    recorder = recorder_for(dataclasses.replace(configuration, url=server.url, spool_limit=20_000))
    for number in range(200):
        record(recorder, number)
    server.behaviour = accept
    assert recorder.flush(10)
    recorder.close()
    reports = [request.variables["input"] for request in server.received if "reportRecorder" in request.document]
    final = reports[-1]
    arrived = {event["started"]["executionId"] for request in server.received for event in request.events if "started" in event}
    assert final["server"] == "orders"
    assert final["droppedExecutions"] > 0
    assert "droppedSince" in final
    assert len(arrived) >= 200 - final["droppedExecutions"]
