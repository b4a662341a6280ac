"""What nobody thought of: requests, bytes and frames made up at random, held to the same rule (spec 2.10)."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hostile.frames import frame, opened, outcome, text
from hostile.invariant import CODES, leaks_nothing, verdict
from properties import examples
from raw import wire
from support import Service

TOKENS = """{ } ( ) [ ] : ! = | & @ $ ... # , query mutation subscription fragment on Query executions flows node id first edges
cursor totalCount __schema __typename ExecutionFilter Int ID $v @skip @include if true false null 1 -1 1e3 "x" \"\"\""""
characters = st.text(st.characters(), max_size=50)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | characters,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(characters, inner, max_size=4),
    max_leaves=20,
)
documents = characters | st.lists(
    st.sampled_from(TOKENS.split()),
    max_size=25,
).map(" ".join)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "query": documents | values,
        "variables": st.dictionaries(st.just("v") | characters, values, max_size=3) | values,
        "operationName": values,
        "extensions": values,
        "documentId": values,
    },
)
pieces = st.lists(st.binary(max_size=50) | st.builds(frame, st.integers(0, 15), st.binary(max_size=130)), min_size=1, max_size=4)
messages = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["connection_init", "ping", "pong", "subscribe", "complete", "next", "error"]) | values,
        "id": st.sampled_from(["1", "2"]) | values,
        "payload": parameters | values,
    },
)


async def answer(service: Service, content: bytes, *, is_all: bool = False) -> str:
    """Send bytes and return the verdict on the answer; after what `is_all` the connection may also end without one."""
    async with wire(service) as connection:
        with suppress(ConnectionError):
            await connection.send(content)
            if is_all:
                connection.end_sending()
        raw = (await connection.rest()).decode("utf-8", "replace")
    if not raw:
        return "gone"
    head, _, body = raw.partition("\r\n\r\n")
    return verdict(int(head.split()[1]), head.partition("\r\n")[2], body)


def request(service: Service, body: bytes, accept: str = "application/json") -> bytes:
    host = service.url.removeprefix("http://")
    return (
        f"POST /graphql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\naccept: {accept}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body


@given(content=parameters)
@examples(150)
async def test_requests_of_any_content_are_answered(service: Service, content: Any) -> None:
    assert await answer(service, request(service, json.dumps(content).encode())) != "gone"


@given(body=st.binary(max_size=200))
@examples(50)
async def test_bodies_of_any_bytes_are_answered(service: Service, body: bytes) -> None:
    assert await answer(service, request(service, body)) != "gone"


@given(content=st.binary(max_size=300) | st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=5)))
@examples(100)
async def test_bytes_that_are_no_http_end_the_connection(service: Service, content: Any) -> None:
    sound = request(service, b'{"query": "{ __typename }"}')
    if isinstance(content, bytes):
        await answer(service, content, is_all=True)
    else:
        position, bytes_ = content
        await answer(service, sound[:position] + bytes_ + sound[position:], is_all=True)


@given(sent=st.lists(messages, max_size=5))
@examples(60)
async def test_messages_of_any_content_are_answered_or_end_the_socket(service: Service, sent: list[Any]) -> None:
    frames = [text('{"type": "connection_init"}'), *(text(json.dumps(message)) for message in sent)]
    async with opened(service) as connection:
        assert (await connection.answer()).status == 101
        said = await outcome(connection, frames)
    leaks_nothing("\n".join(line for line in said.texts if '"next"' not in line))
    for code in (code for line in said.texts for code in CODES | {"INTERNAL"} if f'"code":"{code}"' in line):
        assert code != "INTERNAL"


@given(
    frames=st.lists(st.binary(max_size=50) | st.builds(frame, st.integers(0, 15), st.binary(max_size=130)), min_size=1, max_size=4)
)
@examples(60)
async def test_frames_of_any_bytes_end_the_socket(service: Service, frames: list[bytes]) -> None:
    async with opened(service) as connection:
        assert (await connection.answer()).status == 101
        with suppress(ConnectionError):
            for data in frames:
                await connection.send(data)
            connection.end_sending()
        leaks_nothing((await connection.rest()).decode("utf-8", "replace"))
