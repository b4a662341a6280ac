"""Every hostile request there is a name for, what came back, and that it keeps to the rule (spec 2.10).

The answers are kept in http.tsv.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hostile.http_cases import Case, cases
from hostile.invariant import compare, verdict
from raw import wire
from support import Service

HERE = Path(__file__).parent
CASES = {case.name: case for case in cases()}


@pytest.fixture
async def target(start_service: Any) -> Service:
    """A service that answers GET too, so that query strings are read, and whose patience a busy machine does not end."""
    service: Service = await start_service(graphql_get=True, statement_timeout=60, request_timeout=60, body_timeout=60)
    return service


async def answer_to(service: Service, case: Case, accept: str) -> str:
    """Send a case as it is, byte by byte, and return what the table says of the answer."""
    headers: dict[str, str | None] = {
        "host": service.url.removeprefix("http://"),
        "content-type": "application/json",
        "accept": accept,
        "content-length": str(len(case.body)),
        "connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in (headers | case.headers).items() if value is not None)
    async with wire(service) as connection:
        with suppress(ConnectionError):  # the answer may come before the end of the question
            await connection.send(f"{case.method} {case.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + case.body)
        raw = await connection.rest()
    answer = raw.decode("utf-8", "replace").removeprefix("HTTP/1.1 100 Continue\r\n\r\n")
    head_of_answer, _, content = answer.partition("\r\n\r\n")
    status_line, _, given = head_of_answer.partition("\r\n")
    assert status_line, "no answer"
    return verdict(int(status_line.split()[1]), given, content)


async def answers(service: Service, accept: str, without: str = "") -> dict[str, str]:
    """Send every case, some at a time, and return what the table says of each answer."""
    gate = asyncio.Semaphore(8)
    broken: dict[str, str] = {}

    async def one(case: Case) -> str:
        async with gate:
            try:
                return await answer_to(service, case, accept)
            except Exception as error:
                broken[case.name] = repr(error)[:1000]
                return ""

    asked = [case for case in CASES.values() if case.name != without]
    found = await asyncio.gather(*(one(case) for case in asked))
    assert not broken, "\n".join(f"{name}: {reason}" for name, reason in broken.items())
    return dict(zip((case.name for case in asked), found, strict=True))


async def test_every_request_is_answered_as_the_table_says(target: Service) -> None:
    found = await answers(target, "application/graphql-response+json")
    compare(HERE / "http.tsv", found)
    assert await target.execute("{ executions { totalCount } }") == {"data": {"executions": {"totalCount": 0}}}


async def test_every_request_for_an_event_stream_is_answered(target: Service) -> None:
    await answers(target, "text/event-stream", without="document: subscription")  # which is no hostile one then
