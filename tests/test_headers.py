"""Headers looked through once, held to Starlette's way of looking for each."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from flowtrail.headers import headers_of, with_header

NAMES = st.sampled_from(["host", "origin", "cookie", "authorization"])
PAIRS = st.lists(st.tuples(NAMES, st.text(st.characters(max_codepoint=255), max_size=5)), max_size=8)


def scope_of(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "http", "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs]}


def found(scope: Any) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers_of(scope).items()}


@given(PAIRS)
def test_each_is_found_as_starlette_finds_it(pairs: list[tuple[str, str]]) -> None:
    scope = scope_of(pairs)
    by_starlette = Headers(scope=scope)
    assert found(scope) == {name: by_starlette[name] for name in by_starlette}
    assert found(scope) == {name: by_starlette[name] for name in by_starlette}  # remembered


@given(PAIRS, NAMES)
def test_one_more_is_there_for_whoever_comes_later_alone(pairs: list[tuple[str, str]], name: str) -> None:
    scope = scope_of(pairs)
    before = found(scope)
    later = with_header(scope, name.encode(), b"new")
    assert found(later) == {name: "new", **before} == {key: Headers(scope=later)[key] for key in found(later)}
    assert found(scope) == before
