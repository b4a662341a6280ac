"""Large answers: sent as fast as their client reads, whole to a slow one, and not kept for one who reads nothing (spec 2.10)."""

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from uuid_utils.compat import uuid7

from flowtrail import connections
from recorder import finished, send, started
from support import Service

DOCUMENT = "{ executions(first: 20) { edges { node { result } } } }"
SIZE = 1_000_000


@pytest.fixture
async def large(service: Service) -> Service:
    """A service with twenty megabytes to read."""
    for _ in range(20):
        id_ = str(uuid7())
        await send(service, started(id_), finished(id_, result="x" * SIZE))
    return service


async def asked(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the document was asked for, and nothing read."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    body = json.dumps({"query": DOCUMENT}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


async def test_a_slow_reader_gets_all_of_it(large: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_STALLED_SECONDS", 5.0)
    reader, writer = await asked(large)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:")).partition(b":")[2])
    body = bytearray()
    while len(body) < length:
        body += await reader.readexactly(min(SIZE, length - len(body)))
        await asyncio.sleep(0.02)
    assert [len(edge["node"]["result"]) for edge in json.loads(body)["data"]["executions"]["edges"]] == [SIZE] * 20
    writer.close()


async def test_one_who_reads_nothing_is_not_waited_for(large: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_STALLED_SECONDS", 0.2)
    reader, writer = await asked(large)
    received = len(await reader.read(1024))
    await asyncio.sleep(3)
    with suppress(ConnectionError):
        while data := await asyncio.wait_for(reader.read(SIZE), 10):
            received += len(data)
    assert 0 < received < 20 * SIZE
    writer.close()
