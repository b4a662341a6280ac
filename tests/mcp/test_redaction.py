"""Secrets are replaced before anything is written, and the marker says by which rule."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from flowtrail.mcp.payload import encode
from flowtrail.mcp.redaction import CallRedaction, Redaction, marker
from flowtrail.mcp.secret_schema import SecretSchema
from properties import examples


def parameters(value: Any, schema: dict[str, Any] | None = None, rules: Redaction | None = None) -> Any:
    redaction = CallRedaction(rules or Redaction(), SecretSchema(schema or {}))
    return json.loads(redaction.parameters(encode(value)))


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "api_key",
        "API-Key",
        "x-api-key",
        "openaiApiKey",
        "accessToken",
        "Authorization",
        "client_secret",
        "Cookie",
        "PIN",
    ],
)
def test_names_on_the_default_list_hide_their_values(name: str) -> None:
    assert parameters({"deep": [{name: "hunter2"}]}) == {"deep": [{name: marker("name")}]}


@pytest.mark.parametrize(
    "name", ["page_token", "nextPageToken", "max_tokens", "tokens", "secretary", "passwordless_login", "pint", "author"]
)
def test_harmless_names_stay(name: str) -> None:
    assert parameters({name: "abc123"}) == {name: "abc123"}


def test_an_author_adds_names_and_a_rule_of_their_own() -> None:
    rules = Redaction.with_names(["Kundennummer"], lambda pointer, value: pointer == "/address/0/street")
    value = {"kunden_nummer": 7, "address": [{"street": "A", "town": "B"}]}
    assert parameters(value, rules=rules) == {
        "kunden_nummer": marker("name"),
        "address": [{"street": marker("author"), "town": "B"}],
    }


def test_a_rule_that_fails_hides() -> None:
    def broken(pointer: str, value: Any) -> bool:
        raise RuntimeError

    assert parameters({"a": "b"}, rules=Redaction(hide=broken)) == {"a": marker("author")}


class Login(BaseModel):
    user: str
    secret_word: SecretStr
    hint: str = Field(json_schema_extra={"writeOnly": True})


class Nested(BaseModel):
    logins: list[Login]
    fallback: Login | None = None
    by_name: dict[str, Login] = {}


def test_a_schema_marks_secrets_through_references_arrays_and_alternatives() -> None:
    login = {"user": "ann", "secret_word": "open sesame", "hint": "cave"}
    hidden = {"user": "ann", "secret_word": marker("schema"), "hint": marker("schema")}
    value = {"logins": [login], "fallback": login, "by_name": {"x": login}}
    assert parameters(value, Nested.model_json_schema()) == {"logins": [hidden], "fallback": hidden, "by_name": {"x": hidden}}


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {
        "$ref": "#/$defs/tree",
        "$defs": {"tree": {"allOf": [{"$ref": "#/$defs/tree"}], "format": "password", "properties": {}}},
    }
    assert parameters({"a": "b"}, schema) == {"a": "b"}


def test_a_secret_of_the_parameters_is_hidden_wherever_it_turns_up() -> None:
    redaction = CallRedaction(Redaction())
    redaction.parameters(encode({"password": 'top "secret"\n', "pin": 123456}))
    assert "secret" not in redaction.data(encode({"echo": ['you said: top "secret"\n!'], 'top "secret"\n': 1}))
    assert redaction.message('login with top "secret"\n failed') == f"login with {marker('parameter')} failed"
    assert json.loads(redaction.data(encode([123456, 123457, True]))) == [marker("parameter"), 123457, True]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def-ghi123", "abc.def-ghi123"),
        ("postgresql://app:s3cr3t@db/orders", "s3cr3t"),
        ("key sk-proj-abcdefghijklmnop123456 refused", "abcdefghijklmnop123456"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghij"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIiOiIxIn0"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
    ],
)
def test_text_that_looks_like_a_credential_is_hidden_everywhere(text: str, secret: str) -> None:
    redaction = CallRedaction(Redaction())
    assert secret not in redaction.data(encode({"log": [text]}))
    assert secret not in redaction.parameters(encode({"log": [text]}))
    assert secret not in redaction.message(text)


def test_errors_lose_what_is_assigned_to_a_secret_name() -> None:
    message = CallRedaction(Redaction()).message(
        "connect(user='ann', password='hunter2', timeout=3) failed: api_key=abc; token: xyz"
    )
    assert "hunter2" not in message
    assert "abc" not in message
    assert "xyz" not in message
    assert "user='ann'" in message
    assert "timeout=3" in message


@examples(100)
@given(
    st.recursive(
        st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=20,
    ),
    st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=8, max_size=30),
)
def test_a_planted_secret_never_leaves(value: Any, secret: str) -> None:
    redaction = CallRedaction(Redaction())
    planted = encode({"value": value, "password": secret, "nested": {"api_key": [secret]}})
    assert secret not in json.loads(redaction.parameters(planted))["password"]
    for text in (redaction.data(encode([value, {"x": secret + "!"}])), redaction.message(f"failed with {secret}")):
        assert encode(secret)[1:-1] not in text or secret in marker("parameter")
