"""Any Python value has a JSON text, and a text over the limit has a valid preview."""

import datetime
import enum
import json
import math
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flowtrail import json_text
from flowtrail.mcp.payload import encode, limited
from properties import examples

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=6),
    max_leaves=40,
)


@examples(100)
@given(json_values)
def test_json_values_keep_their_exact_text(value: Any) -> None:
    assert encode(value) == json_text.dump(value)


@examples(100)
@given(json_values, st.integers(min_value=64, max_value=2000))
def test_a_preview_is_valid_json_within_the_limit(value: Any, limit: int) -> None:
    text = encode(value)
    payload = limited(text, limit)
    assert len(payload.text.encode()) <= limit
    json.loads(payload.text)
    if len(text.encode()) <= limit:
        assert payload.text == text
        assert payload.size_bytes is None
    else:
        assert payload.size_bytes == len(text.encode())
        assert payload.sha256 == sha256(text.encode()).hexdigest()


def test_a_long_string_keeps_most_of_its_beginning() -> None:
    payload = limited(encode({"text": "Grüße 👩‍👩‍👧 " * 1000}), 4096)
    kept = json.loads(payload.text)["text"]
    assert kept.startswith("Grüße 👩‍👩‍👧 Grüße")
    assert kept.endswith("…")
    assert len(payload.text.encode()) > 3500


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    where: Any = None


class Model(BaseModel):
    name: str
    at: datetime.datetime


class Stubborn:
    def __repr__(self) -> str:
        raise RuntimeError("no")


AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.inf, "Infinity"),
        ([math.nan, -math.inf], ["NaN", "-Infinity"]),
        (Point(1, Point(2)), {"x": 1, "where": {"x": 2, "where": None}}),
        (Model(name="a", at=AT), {"name": "a", "at": "2026-01-02T03:04:05+00:00"}),
        ({"set": {1}, "tuple": (1, 2)}, {"set": [1], "tuple": [1, 2]}),
        ([Colour.RED, Decimal("1.10"), UUID(int=1), AT.date()], ["red", "1.10", str(UUID(int=1)), "2026-01-02"]),
        (b"\xff\x00", "/wA="),
        ({1: "a", None: "b", (1, 2): "d"}, {"1": "a", "null": "b", "(1, 2)": "d"}),
        (ValueError("broken"), "ValueError: broken"),
        (Stubborn(), "<Stubborn>"),
    ],
)
def test_other_values_get_the_form_that_is_expected_of_them(value: Any, expected: Any) -> None:
    assert json.loads(encode(value)) == expected


def test_what_is_nested_too_deeply_is_cut_where_the_service_would_refuse_it() -> None:
    value: Any = "bottom"
    for _ in range(5000):
        value = [value]
    text = encode(value)
    assert text.count("[") == json_text.MAX_DEPTH + 1
    json_text.dump(json.loads(text))


def test_an_integer_of_more_digits_than_the_service_takes_is_named_instead() -> None:
    assert json.loads(encode({"n": 10**5000, "m": 10**4000})) == {"n": "[integer of 16610 bits]", "m": 10**4000}
