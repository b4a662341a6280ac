"""Requests that no honest client sends, by name."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from hostile.values import VALUES

QUERY = "{ __typename }"


@dataclass(frozen=True)
class Case:
    """One request; the headers are added to those of an ordinary one, or with None taken away."""

    name: str
    body: bytes = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/graphql"


def cases() -> Iterator[Case]:
    """Yield every case, each name once."""
    yield from _bodies()
    yield from _parameters()
    yield from _documents()
    yield from _variables()
    yield from _headers()
    yield from _methods_and_paths()
    yield from _query_strings()


def _bodies() -> Iterator[Case]:
    for name, value in VALUES.items():
        yield Case(f"body: {name}", value.encode("utf-8", "surrogatepass"))
    asked = json.dumps({"query": QUERY}).encode()
    raw = {
        "two values": asked * 2,
        "byte order mark": b"\xef\xbb\xbf" + asked,
        "UTF-16": asked.decode().encode("utf-16"),
        "UTF-32": asked.decode().encode("utf-32-be"),
        "Latin-1": '{"query": "{ é }"}'.encode("latin-1"),
        "overlong UTF-8": b'{"query": "\xc0\xae"}',
        "encoded surrogate": b'{"query": "\xed\xa0\x80"}',
        "random bytes": bytes(range(256)),
        "NULs": b"\0" * 1000,
        "gzip": gzip.compress(asked),
        "white space": b" \n\t" * 300_000,
        "a megabyte and one": b" " * (1024 * 1024 + 1),
        "form": b"query=%7B__typename%7D",
        "multipart": b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n{}\r\n--x--',
        "document": QUERY.encode(),
        "batch": json.dumps([{"query": QUERY}] * 1000).encode(),
        "query twice": b'{"query": "{ a }", "query": "{ __typename }"}',
        "many keys": json.dumps({"query": QUERY} | {f"k{n}": n for n in range(20_000)}).encode(),
        "array brackets": b'{"query": "{ __typename }", "x": ' + b"[]," * 3 + b"}",
        "many empty arrays": b'{"query": "{ __typename }", "variables": {"x": [' + b"[]," * 200_000 + b"[]]}}",
        "many numbers": b'{"query": "{ __typename }", "variables": {"x": [' + b"1," * 200_000 + b"1]}}",
        "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    }
    for name, content in raw.items():
        yield Case(f"body: {name}", content)


def _parameters() -> Iterator[Case]:
    for name, value in VALUES.items():
        yield Case(f"query: {name}", f'{{"query": {value}}}'.encode())
        for parameter in ("operationName", "variables", "extensions", "documentId", "unknown"):
            yield Case(f"{parameter}: {name}", f'{{"query": "{QUERY}", "{parameter}": {value}}}'.encode())
        yield Case(f"documentId alone: {name}", f'{{"documentId": {value}}}'.encode())
        yield Case(f"persistedQuery: {name}", f'{{"extensions": {{"persistedQuery": {value}}}}}'.encode())
        hashed = f'{{"extensions": {{"persistedQuery": {{"version": 1, "sha256Hash": {value}}}}}}}'
        yield Case(f"sha256Hash: {name}", hashed.encode())


def _documents() -> Iterator[Case]:
    documents = {
        "comment": "# nothing",
        "unknown field": "{ nothing }",
        "near field": "{ executionz { edges { node { id } } } }",
        "subscription": "subscription { executionChanges { __typename } }",
        "mutation": 'mutation { deleteFlow(input: {id: "x"}) { deletedId } }',
        "two operations": "query A { __typename } query B { __typename }",
        "unnamed and named": "{ __typename } query B { __typename }",
        "fragment alone": "fragment F on Query { __typename }",
        "fragment in itself": "{ ...F } fragment F on Query { ...F }",
        "fragments in a ring": "{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }",
        "unknown fragment": "{ ...F }",
        "fragment on a scalar": "{ ... on String { x } }",
        "type definition": "type Query { a: Int }",
        "schema extension": "extend schema @x { mutation: M }",
        "unknown directive": "{ __typename @explode }",
        "deferred": "{ ... @defer { __typename } }",
        "skip without condition": "{ __typename @skip }",
        "skip by a string": '{ __typename @skip(if: "yes") }',
        "deprecated": "{ __typename @deprecated }",
        "unknown variable": "{ node(id: $id) { id } }",
        "variable of an output type": "query ($f: Flow) { __typename }",
        "variable of an unknown type": "query ($f: Nothing) { __typename }",
        "variable twice": "query ($a: Int, $a: Int) { __typename }",
        "block string": '{ node(id: """ \\""" """) { id } }',
        "unfinished block string": '{ node(id: """',
        "escape beyond Unicode": '{ node(id: "\\\\u{110000}") { id } }',
        "escaped surrogate": '{ node(id: "\\\\ud800") { id } }',
        "raw surrogate": '{ node(id: "\ud800") { id } }',
        "surrogate outside a string": "{ \ud800 }",
        "NUL": "{ \0 }",
        "NUL in a string": '{ node(id: "\0") { id } }',
        "byte order mark": "\ufeff{ __typename }",
        "emoji name": "{ 👍 }",
        "number as a name": "{ 1a }",
        "long name": "{ " + "a" * 90_000 + " }",
        "long string": '{ node(id: "' + "a" * 90_000 + '") { id } }',
        "400 digits": "{ executions(first: " + "9" * 400 + ") { totalCount } }",
        "5000 digits": "{ executions(first: " + "9" * 5000 + ") { totalCount } }",
        "exponent": "{ executions(first: 1e99999) { totalCount } }",
        "float for an integer": "{ executions(first: 1.5) { totalCount } }",
        "negative page": "{ executions(first: -1) { totalCount } }",
        "large page": "{ executions(first: 101) { totalCount } }",
        "both ways": "{ executions(first: 1, last: 1) { totalCount } }",
        "cursor": '{ executions(after: "💣") { totalCount } }',
        "cursor in base64": '{ executions(after: "AAAA") { totalCount } }',
        "object for a string": "{ executions(after: {a: 1}) { totalCount } }",
        "enumeration as a string": '{ executions(filter: {status: ["ERROR"]}) { totalCount } }',
        "unknown enumeration": "{ executions(filter: {status: [BROKEN]}) { totalCount } }",
        "unknown input field": "{ executions(filter: {nothing: 1}) { totalCount } }",
        "text of wildcards": '{ executions(filter: {text: "%_\\\\\\\\%"}) { totalCount } }',
        "text of NUL": '{ executions(filter: {text: "\\\\u0000"}) { totalCount } }',
        "impossible time": '{ executions(filter: {startedAt: {from: "2026-02-30T00:00:00Z"}}) { totalCount } }',
        "time out of range": '{ executions(filter: {startedAt: {from: "0001-01-01T00:00:00+14:00"}}) { totalCount } }',
        "no selection": "{ executions }",
        "selection of a scalar": "{ __typename { x } }",
        "conflict": "{ a: __typename a: executions { totalCount } }",
        "deep list": "{ node(id: " + "[" * 500 + "]" * 500 + ") { id } }",
        "deep selection": "{ a " * 500 + "}" * 500,
        "deep object literal": "{ node(id: " + "{a: " * 300 + "1" + "}" * 300 + ") { id } }",
        "deep type": "query ($a: " + "[" * 500 + "Int" + "]" * 500 + ") { __typename }",
        "braces": "{" * 40_000,
        "many fields": "{ " + "__typename " * 1500 + "}",
        "many conflicts": "{ " + " ".join(f"a: f{n}" for n in range(1400)) + " }",
        "many aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(700)) + " }",
        "many directives": "{ __typename " + "@skip(if: true) " * 400 + "}",
        "many variables": "query (" + " ".join(f"$v{n}: Int" for n in range(700)) + ") { __typename }",
        "many unknown arguments": "{ __typename(" + " ".join(f"a{n}: 1" for n in range(700)) + ") }",
        "many fragments": "{ __typename } " + " ".join(f"fragment F{n} on Query {{ __typename }}" for n in range(400)),
        "many definitions": "{ a } " * 900,
        "too many characters": "# " + "x" * 200_000 + "\n{ __typename }",
        "deep introspection": "{ __schema { types { " + "fields { type { " * 9 + "name" + " } }" * 9 + " } } }",
        "type by a strange name": '{ __type(name: "\\\\u0000") { name } }',
    }
    for name, document in documents.items():
        yield Case(f"document: {name}", json.dumps({"query": document.replace("\\\\", "\\")}).encode())


def _variables() -> Iterator[Case]:
    uses = {
        "ID!": "node(id: $v) { id }",
        "Int": "executions(first: $v) { totalCount }",
        "String": "executions(after: $v) { totalCount }",
        "UUID!": "execution(by: {uuid: $v}) { id }",
        "[ExecutionStatus!]": "executions(filter: {status: $v}) { totalCount }",
        "ExecutionFilter": "executions(filter: $v) { totalCount }",
        "FlowBy!": "flow(by: $v) { id }",
        "DateTime": "executions(filter: {startedAt: {from: $v}}) { totalCount }",
        "Boolean!": "__typename @skip(if: $v)",
    }
    for type_, use in uses.items():
        for name, value in VALUES.items():
            yield Case(
                f"{type_}: {name}", f'{{"query": "query ($v: {type_}) {{ {use} }}", "variables": {{"v": {value}}}}}'.encode()
            )


def _headers() -> Iterator[Case]:
    body = json.dumps({"query": QUERY}).encode()
    given: dict[str, tuple[str | None, ...]] = {
        "content-type": (
            None,
            "",
            "text/plain",
            "application/graphql",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/json; charset=",
            "application/json; q=1",
            "APPLICATION/JSON",
            "application/json;;;",
            "application/json, text/plain",
            ";",
            "x" * 10_000,
        ),
        "accept": (
            "",
            "text/html",
            "image/png",
            "application/json;q=0",
            "application/json;q=nan",
            "application/json;q=inf",
            "application/json;q=1e99",
            "application/json;q=-1",
            "*/*;q=0",
            ";;;,,,",
            "application/*",
            "x" * 10_000,
            ",".join(["a/b;q=0.1"] * 3000),
            "multipart/mixed",
        ),
        "authorization": (
            "",
            "Bearer",
            "Bearer ",
            "Bearer \xff",
            "Basic eDp5",
            "bearer x y z",
            "Bearer " + "x" * 20_000,
            "Negotiate",
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
            "\t",
        ),
        "content-encoding": ("gzip", "deflate", "br", "identity", "gzip, gzip, gzip", "", "x"),
        "cookie": ("flowtrail_session", "flowtrail_session=%ff", "=;=;=", "x" * 20_000, "flowtrail_session=" + "a" * 5000),
        "origin": ("null", "http://evil.example", "\xff", "http://[", "x" * 5000),
        "host": ("", "evil.example", "127.0.0.1:99999", "[", "a" * 5000),
        "traceparent": ("x", "00-" + "f" * 32 + "-" + "f" * 16 + "-01", "00-0-0-00", "x" * 5000),
        "x-request-id": ("\x01", "x" * 5000, "a\x7fb"),
        "x-forwarded-for": ("999.999.999.999", "x" * 5000, ",,,"),
        "forwarded": ("for=\x01;by=x", 'for="_' + "x" * 1000),
        "accept-encoding": ("gzip;q=nan", "x" * 5000),
        "expect": ("100-continue", "the worst"),
        "upgrade": ("h2c", "websocket", "TLS/1.0"),
        "connection": ("close", "upgrade", "x" * 2000),
        "content-language": ("\xff",),
    }
    for header, values in given.items():
        for number, value in enumerate(values, 1):
            yield Case(f"{header} {number}: {str(value)[:40]!r}", body, {header: value})


def _methods_and_paths() -> Iterator[Case]:
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        yield Case(f"method: {method}", json.dumps({"query": QUERY}).encode(), {}, method)
    for path in (
        "/graphql/",
        "/GraphQL",
        "//graphql",
        "/graphql%00",
        "/graphql%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cwindows",
        "/%ff%fe",
        "/" + "a/" * 5000,
        "/graphql;x=1",
        "/static/%00",
        "/flows/%ff",
        "/docs",
        "/openapi.json",
        "/.git/config",
        "/session",
    ):
        yield Case(f"GET {path[:40]}", b"", {}, "GET", path)
        yield Case(f"POST {path[:40]}", b"{}", {}, "POST", path)


def _query_strings() -> Iterator[Case]:
    for number, text in enumerate(
        (
            "",
            "query",
            "query=",
            "query=%7B__typename%7D",
            "query=%7B__typename%7D&query=%7B__typename%7D",
            "query=%ff",
            "query=%7B",
            "query=%00",
            "query=%ED%A0%80",
            "query=mutation%7B__typename%7D",
            "query=%7B__typename%7D&variables=",
            "query=%7B__typename%7D&variables=%7B",
            "query=%7B__typename%7D&variables=[]",
            "query=%7B__typename%7D&variables=" + "[" * 20_000,
            "query=%7B__typename%7D&variables=" + "9" * 5000,
            "query=%7B__typename%7D&variables=NaN",
            "query=%7B__typename%7D&operationName=%00",
            "query=%7B__typename%7D&extensions=1",
            "documentId=x",
            "documentId=" + "0" * 64,
            "query=" + "%7B" * 10_000,
            "&" * 10_000,
            "=" * 10_000,
            "%",
            "query=%zz",
            ";query=x",
            "query=%7B__typename%7D#fragment",
            "access_token=secret",
        ),
        1,
    ):
        yield Case(f"query string {number}: {text[:40]}", b"", {}, "GET", f"/graphql?{text}")
