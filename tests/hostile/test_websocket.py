"""Every hostile WebSocket there is a name for: each is closed with a code, or answered with one, and nothing hangs (spec 2.10).

The codes are kept in websocket.tsv.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowtrail.graphql import websocket
from hostile.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Conversation, frame, opened, outcome, text
from hostile.invariant import CODES, compare, leaks_nothing
from hostile.values import VALUES
from support import Service

HERE = Path(__file__).parent
INIT = text('{"type": "connection_init"}')
QUERY = "{ __typename }"


def _subscribe(payload: str, id_: str = '"1"') -> bytes:
    return text(f'{{"type": "subscribe", "id": {id_}, "payload": {payload}}}')


def cases() -> Iterator[tuple[str, list[bytes]]]:
    """Yield what is sent after the handshake, by name. Who is not closed for it ends the connection itself."""
    for name, value in VALUES.items():
        yield f"message: {name}", [text(value)]
        yield f"type: {name}", [text(f'{{"type": {value}}}')]
        yield f"payload of init: {name}", [text(f'{{"type": "connection_init", "payload": {value}}}')]
        yield f"authorization: {name}", [text(f'{{"type": "connection_init", "payload": {{"authorization": {value}}}}}')]
        yield f"payload of ping: {name}", [text(f'{{"type": "ping", "payload": {value}}}')]
        yield f"id: {name}", [INIT, _subscribe(f'{{"query": "{QUERY}"}}', value)]
        yield f"payload of subscribe: {name}", [INIT, _subscribe(value)]
        yield f"query: {name}", [INIT, _subscribe(f'{{"query": {value}}}')]
        yield f"variables: {name}", [INIT, _subscribe(f'{{"query": "{QUERY}", "variables": {value}}}')]
        yield f"id of complete: {name}", [INIT, text(f'{{"type": "complete", "id": {value}}}')]
    yield from _frames()
    yield from _orders()


def _frames() -> Iterator[tuple[str, list[bytes]]]:
    init = b'{"type": "connection_init"}'
    yield "binary", [frame(BINARY, init)]
    yield "empty binary", [frame(BINARY, b"")]
    yield "empty text", [frame(TEXT, b"")]
    yield "invalid UTF-8", [frame(TEXT, b"\xff\xfe")]
    yield "UTF-8 cut in two", [frame(TEXT, b'{"type": "\xf0\x9f', final=False), frame(CONTINUATION, b'\x91\x8d"}')]
    yield "encoded surrogate", [frame(TEXT, b'"\xed\xa0\x80"')]
    yield "unmasked", [frame(TEXT, init, masked=False)]
    yield "reserved bits", [frame(TEXT, init, reserved=4)]
    yield "all reserved bits", [frame(TEXT, init, reserved=7)]
    for opcode in (3, 7, 11, 15):
        yield f"opcode {opcode}", [frame(opcode, init)]
    yield "fragments", [frame(TEXT, init[:5], final=False), frame(CONTINUATION, init[5:])]
    yield "single bytes", [frame(TEXT, b"", final=False), *(frame(CONTINUATION, bytes([byte]), final=False) for byte in init)]
    yield "many empty fragments", [frame(TEXT, b"", final=False), frame(CONTINUATION, b"", final=False) * 20_000]
    yield "continuation of nothing", [frame(CONTINUATION, init)]
    yield "text within text", [frame(TEXT, b"{", final=False), frame(TEXT, init)]
    yield "ping within text", [frame(TEXT, init[:5], final=False), frame(PING, b"x"), frame(CONTINUATION, init[5:])]
    yield "fragmented ping", [frame(PING, b"x", final=False)]
    yield "large ping", [frame(PING, b"x" * 126)]
    yield "pong of nothing", [frame(PONG, b"x" * 125)]
    yield "many pings", [frame(PING, b"x" * 125) * 5_000]
    yield "large text", [text('"' + "x" * (1024 * 1024) + '"')]
    yield "huge text", [text('"' + "x" * (3 * 1024 * 1024) + '"')]
    yield (
        "huge by fragments",
        [
            frame(TEXT, b"x" * 1_000_000, final=False),
            *([frame(CONTINUATION, b"x" * 1_000_000, final=False)] * 3),
        ],
    )
    yield "huge announced", [frame(TEXT, b"", length=2**40)]
    yield "impossible length", [frame(TEXT, b"", length=2**63)]
    yield "close without a code", [frame(CLOSE, b"")]
    yield "close with half a code", [frame(CLOSE, b"\x03")]
    for code in (0, 999, 1005, 1006, 2999, 65535):
        yield f"close with {code}", [frame(CLOSE, code.to_bytes(2, "big"))]
    yield "close with invalid UTF-8", [frame(CLOSE, b"\x03\xe8\xff")]
    yield "large close", [frame(CLOSE, b"\x03\xe8" + b"x" * 200)]
    yield "no frames at all", [b"GET / HTTP/1.1\r\n\r\n"]
    yield "zeros", [b"\0" * 1000]
    yield "ones", [b"\xff" * 1000]


def _orders() -> Iterator[tuple[str, list[bytes]]]:
    ask = _subscribe(json.dumps({"query": QUERY}))
    stream = json.dumps({"query": "subscription { executionChanges { __typename } }"})
    yield "init twice", [INIT, INIT]
    yield "many inits at once", [INIT * 100]
    yield "subscribe before init", [ask]
    yield "complete before init", [text('{"type": "complete", "id": "1"}')]
    yield "ping before init", [text('{"type": "ping"}')]
    yield "messages of the server", [INIT, text('{"type": "connection_ack"}')]
    for type_ in ("next", "error", "start", "stop", "connection_terminate", "CONNECTION_INIT", "data", "ka"):
        yield f"type {type_}", [INIT, text(f'{{"type": "{type_}", "id": "1", "payload": {{}}}}')]
    yield "id twice", [INIT, _subscribe(stream), _subscribe(stream)]
    yield "id again after its end", [INIT, *([ask] * 5)]
    yield "complete twice", [INIT, _subscribe(stream), *([text('{"type": "complete", "id": "1"}')] * 2)]
    yield "too many operations", [INIT, *(_subscribe(stream, f'"{n}"') for n in range(101))]
    yield "many ends", [INIT, *((_subscribe(stream) + text('{"type": "complete", "id": "1"}')) * 200 for _ in range(2))]
    yield "long id", [INIT, _subscribe(json.dumps({"query": QUERY}), f'"{"x" * 100_000}"')]
    yield "batch", [text('[{"type": "connection_init"}, {"type": "ping"}]')]
    yield "a monstrous document", [INIT, _subscribe(json.dumps({"query": "{ " * 200_000}))]
    yield "a wrong token twice", [text('{"type": "connection_init", "payload": {"authorization": "Bearer x"}}') * 2]


CASES = dict(cases())


async def test_every_socket_is_closed_as_the_table_says(service: Service) -> None:
    gate = asyncio.Semaphore(8)
    broken: dict[str, str] = {}

    async def one(name: str, sent: list[bytes]) -> str:
        async with gate, opened(service) as connection:
            try:
                assert (await connection.answer()).status == 101
                said = await outcome(connection, sent)
                leaks_nothing("\n".join(said.texts))
                codes = {error["extensions"]["code"] for message in said.texts for error in _errors(message)}
                assert codes <= CODES, said.texts
                return " ".join([said.code, *sorted(codes)])
            except Exception as error:
                broken[name] = repr(error)[:500]
                return ""

    found = await asyncio.gather(*(one(name, sent) for name, sent in CASES.items()))
    assert not broken, "\n".join(f"{name}: {reason}" for name, reason in broken.items())
    compare(HERE / "websocket.tsv", dict(zip(CASES, found, strict=True)))
    assert await service.execute(QUERY) == {"data": {"__typename": "Query"}}


def _errors(said: str) -> list[Any]:
    try:
        message = json.loads(said)
    except ValueError:
        return []
    if message["type"] == "error":
        return list(message["payload"])
    return list(message["payload"].get("errors", [])) if message["type"] == "next" else []


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_websocket_key": None},
        {"sec_websocket_key": "x"},
        {"sec_websocket_version": None},
        {"sec_websocket_version": "12"},
        {"sec_websocket_version": "x"},
        {"sec_websocket_protocol": ",,,"},
        {"sec_websocket_protocol": "\x7f"},
        {"connection": "keep-alive"},
        {"upgrade": "h2c"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
    ids=str,
)
async def test_a_wrong_handshake_is_refused(service: Service, headers: dict[str, str | None]) -> None:
    async with opened(service, **headers) as connection:
        answer = await connection.answer()
        assert 400 <= answer.status < 500
        leaks_nothing(answer.text)


async def test_who_never_initialises_is_closed_whatever_else_is_sent(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_SECONDS", 0.3)
    for sent in ([], [text('{"type": "ping"}')], [frame(PING, b"")], [frame(TEXT, b"{", final=False)], [b"\x81"]):
        async with opened(service) as connection:
            await connection.answer()
            conversation = Conversation(connection)
            await conversation.say(*sent)
            await conversation.hear_until("the end")
            assert conversation.code == "4408"
