"""Operations made up from the schema: whatever they ask for, and whatever their arguments are, errors have a code (spec 2.10)."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from graphql import StringValueNode
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from hostile.invariant import verdict
from properties import examples

SCHEMA = Path(__file__).parents[2] / "schema.graphql"


def _text(value: str) -> StringValueNode:
    node: StringValueNode = nodes.String(value)
    return node


schemathesis.graphql.scalar(
    "DateTime", st.datetimes().map(lambda time: _text(time.isoformat(timespec="microseconds") + "Z")) | st.text().map(_text)
)
schemathesis.graphql.scalar("UUID", st.uuids().map(lambda value: _text(str(value))) | st.text().map(_text))
schemathesis.graphql.scalar(
    "JSON", st.text().map(_text) | st.integers().map(nodes.Int) | st.floats(allow_nan=False).map(nodes.Float)
)


async def test_no_operation_of_the_schema_is_answered_without_a_code(start_service: Any) -> None:
    service = await start_service(statement_timeout=60, request_timeout=60)
    schema = schemathesis.graphql.from_path(str(SCHEMA))
    headers = {"authorization": f"Bearer {service.record_token}", "accept": "application/graphql-response+json"}

    answers: Counter[str] = Counter()

    @given(case=schema.as_strategy())
    @examples(150)
    def ask(case: Any) -> None:
        response = case.call(base_url=service.graphql_url, headers=headers)
        head = "".join(f"{name}: {' '.join(values)}\n" for name, values in response.headers.items())
        answers[verdict(response.status_code, head, response.content.decode())] += 1

    await asyncio.to_thread(ask)
    assert answers["200"] > 0, answers
    assert set(answers) <= {"200", "200 BAD_USER_INPUT", "200 NOT_FOUND", "400 BAD_USER_INPUT", "400 LIMIT_EXCEEDED"}, answers
