"""What a document may ask for at most, and how refusals read."""

import pytest

from recorder import error_of
from support import Service

DEEP = "query { " + "flows { edges { node { executions { edges { node { flow { " * 5 + "id" + " } } } } } } }" * 5 + " }"
DOUBLING = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
FRAGMENTS = f"query {{ ...F0 }} {DOUBLING} fragment F60 on Query {{ __typename }}"


@pytest.mark.parametrize(
    ("document", "counted"),
    [
        (DEEP, "levels of nesting"),
        ("{ " + " ".join(f"f{n}: __typename" for n in range(21)) + " }", "root fields"),
        ("{ recorders { " + "server " * 1001 + "} }", "fields"),
        ("{ recorders { " + " ".join(f"a{n}: server" for n in range(101)) + " } }", "aliases"),
        ("{ recorders { " + "server @include(if: true) " * 101 + "} }", "directives"),
        (
            "{ flows(first: 100) { edges { node { executions(first: 100) { edges { node { children { totalCount } } } } } } } }",
            "rows",
        ),
        (FRAGMENTS, "root fields"),
        (" ".join(f"query Q{n} {{ __typename }}" for n in range(21)), "operations"),
    ],
)
async def test_what_passes_a_limit_is_refused_saying_what_was_counted(service: Service, document: str, counted: str) -> None:
    error = await error_of(service, document)
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert counted in error["message"]


@pytest.mark.parametrize(
    "document",
    [
        "{ " + "a " * 500_000 + "}",
        "{ " * 100_000,
        "[" * 900_000,
        '{ flows(filter: {text: "' + "x" * 900_000 + '"}) { totalCount } }',
        "{ ...F } fragment F on Query { ...F }",
        "query($v: ID! = " + "[" * 1000 + "]" * 1000 + ") { node(id: $v) { id } }",
        "#" + "x" * 900_000,
    ],
)
async def test_a_monstrous_document_is_refused_at_once(service: Service, document: str) -> None:
    error = await error_of(service, document)
    assert error["extensions"]["code"] in ("LIMIT_EXCEEDED", "BAD_USER_INPUT")
    assert len(error["message"]) < 2000


async def test_pages_by_variables_are_counted_as_they_are_asked_for(service: Service) -> None:
    document = """query($n: Int) { flows(first: $n) { edges { node { executions(first: $n) { edges { node {
                  nodeExecutions { id } } } } } } } }"""
    response = await service.execute(document, {"n": 10})
    assert response == {"data": {"flows": {"edges": []}}}
    error = await error_of(service, document, n=100)
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_graphiql_s_introspection_is_within_the_limits(service: Service) -> None:
    from graphql import get_introspection_query

    response = await service.execute(get_introspection_query(descriptions=True, specified_by_url=True))
    assert response["data"]["__schema"]["queryType"]["name"] == "Query"
