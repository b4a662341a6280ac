"""What is decoded in parts is what is decoded in one go, to the letter: values, texts and errors, whatever the text and part."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowtrail import json_text
from flowtrail.json_parts import NOTHING, PLAIN, Kind, Reader, RepeatedName, Steps, Text, utf_8_of
from flowtrail.parameters import digests_of, outline_of
from flowtrail.recording.preview import preview_of
from properties import examples

SMALLEST = 16
"""Bytes of a part."""
parts = st.integers(SMALLEST, 200)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=40)
    | st.text(st.sampled_from('\\"/,[]{}:\ud83d\ude00é字😀'), max_size=30)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5) | st.text(max_size=50), inner, max_size=9),
    max_leaves=60,
)
pieces = st.sampled_from(
    [
        *'[]{},:" \n\t\\',
        *('"a":', '"a":1,', "[1,", '{"a":', "[],", '"b"', "],", "},", "null,", "true", "-1.5e3,", "1e400", "NaN", "-Infinity", "-"),
        *("01", "1.", "nul", '"\\u12', '"\\ud83d', "\\ude00", '\\u0041"', "\\x", "\x01"),
        *("é", "😀", '"long ', "text " * 9, " " * 40, "9" * 60),
        *('{"a":1,"b":[2,{"a":3}],"a":', "\ufeff", "9" * 4301),
    ]
)
texts = st.lists(pieces, max_size=25).map("".join)
texts |= st.builds(lambda value, more: json.dumps(value) + more, values, st.just("") | pieces)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


def result_of(steps: Steps[Any]) -> Any:
    """What steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def read(data: bytes, kind: Kind, part: int) -> Any:
    return result_of(Reader(result_of(utf_8_of(data)), part).read(kind))


def text_of(data: bytes, part: int, *, anew: bool = False) -> Any:
    try:
        return read(data, Text(by_name=anew), part)
    except RepeatedName:
        return read(data, Text(by_name=True), part)


def outcome(decode: Any, *arguments: Any) -> str:
    """A value that tells 1 from 1.0, and -0.0 from 0; or what an error says."""
    try:
        return repr(decode(*arguments))
    except json_text.JsonTextError as error:
        return f"refused: {error}"


@examples(120)
@given(texts, parts)
@example("[" * 12 + "1,2" + "]" * 12 + " x", SMALLEST)
@example('["' + "y" * 30 + "\\ud83d\\ude00" + "y" * 30 + "\\ud83d" + '"]', SMALLEST)
@example('{"' + "\\u00e9" * 20 + '"  :  ' + "1" * 50 + "." + "5" * 50 + " , ", SMALLEST)
@example('[1,\n2,"' + "é" * 40 + '",\n "ab\x01"]', SMALLEST)
@example('["' + "y" * 40 + "\\", SMALLEST)
@example('["' + "y" * 40 + '\\ud83d\\u12"]', SMALLEST)
@example('["' + "y" * 40 + "\\u0041", SMALLEST)
@example('["' + "y" * 40 + "\\ud83d\\ude00", SMALLEST)
@example('{"a":' * 30 + "1" + "}" * 29 + ",}", SMALLEST)
@example("[" + " " * 40 + "," + " " * 40 + "]", SMALLEST)
@example("[1" + " " * 40 + "," + " " * 40 + "]", SMALLEST)
def test_any_text_gives_the_same_value_or_the_same_error(text: str, part: int) -> None:
    data = text.encode("utf-8", "surrogatepass")
    expected = outcome(json_text.load, data)
    assert outcome(read, data, PLAIN, part) == expected
    for kind in (NOTHING, Text()):
        try:
            found = outcome(read, data, kind, part)
        except RepeatedName:
            continue
        assert found == expected if expected.startswith("refused: ") else not found.startswith("refused: ")


@examples(60)
@given(st.binary(max_size=60), parts)
def test_any_bytes_give_the_same_value_or_the_same_error(data: bytes, part: int) -> None:
    assert outcome(read, data, PLAIN, part) == outcome(json_text.load, data)


@examples(60)
@given(values, parts, st.sampled_from(ENCODINGS))
def test_every_encoding_of_json_is_understood(value: Any, part: int, encoding: str) -> None:
    data = json.dumps([value], ensure_ascii=False).encode(encoding, "surrogatepass")
    assert outcome(read, data, PLAIN, part) == outcome(json_text.load, data)


def laid_out(value: Any, space: str, names: list[str]) -> str:
    """A text of a value with space wherever there may be some, and names that come twice."""
    if isinstance(value, dict):
        members = [(json.dumps(name), laid_out(item, space, names)) for name, item in value.items()]
        members += [(json.dumps(name), f"[{space}]") for name in names if name in value]
        return "{" + ",".join(f"{space}{name}{space}:{space}{item}{space}" for name, item in members) + "}"
    if isinstance(value, list):
        return f"[{','.join(f'{space}{laid_out(item, space, names)}{space}' for item in value)}{space}]"
    return json.dumps(value, ensure_ascii=isinstance(value, str) and len(value) % 2 == 0)


@examples(100)
@given(values, st.sampled_from(["", " ", "\n \t"]), st.lists(st.text(max_size=2), max_size=3), parts, st.booleans())
def test_the_text_of_a_value_is_the_same(value: Any, space: str, names: list[str], part: int, anew: bool) -> None:
    data = laid_out([value], space, names).encode("utf-8", "surrogatepass")
    plain = json_text.load(data)
    found = text_of(data, part, anew=anew)
    if not isinstance(found, json_text.JsonText):  # it is smaller than a part
        assert found == plain
        return
    expected = json_text.dump(plain)
    assert found.text == json_text.dump(found) == expected
    assert (found.size, found.sha256) == (len(expected.encode()), hashlib.sha256(expected.encode()).digest())
    assert digests_of(found.outline) == digests_of(plain)
    assert preview_of(found.outline) == preview_of(plain)


many = st.integers(0, 700).flatmap(
    lambda size: st.sampled_from([[1] * size, [[]] * size, {f"n{n}": n for n in range(size)}, "é" * size])
)
crowds = st.recursive(
    many | scalars,
    lambda inner: st.lists(inner, max_size=70) | st.dictionaries(st.text(max_size=3), inner, max_size=70),
    max_leaves=20,
)


@examples(50)
@given(crowds, parts)
def test_an_outline_tells_what_a_value_is_found_by(value: Any, part: int) -> None:
    value = json.loads(json.dumps(value))  # in which two halves of a surrogate pair are one character
    for params in (value, {"value": value}):
        assert digests_of(outline_of(params)) == digests_of(params)
        assert preview_of(outline_of(params)) == preview_of(params)
        found = text_of(json.dumps(params).encode(), part)
        outline = found.outline if isinstance(found, json_text.JsonText) else found
        assert digests_of(outline) == digests_of(params)
        assert preview_of(outline) == preview_of(params)


@pytest.mark.parametrize("depth", [199, 200, 201, 300])
def test_how_deep_a_value_is_nested_is_counted_through_its_parts(depth: int) -> None:
    value = json.loads("[1,[2,3]," * (depth - 1) + '{"a":"' + "y" * 30 + '"}' + "]" * (depth - 1))
    data = json.dumps(value).encode()
    assert read(data, PLAIN, SMALLEST) == value
    assert outcome(json_text.dump, text_of(data, SMALLEST)) == outcome(json_text.dump, value)


def test_nesting_without_end_is_refused_in_the_same_words() -> None:
    data = b"[" * 100_000
    assert outcome(read, data, PLAIN, 64) == outcome(json_text.load, data) == "refused: nested too deeply"


@pytest.mark.parametrize("value", [[[]] * 10_000, {f"name {number}": [number] for number in range(10_000)}, "y" * 100_000])
def test_of_a_crowd_the_outline_has_few(value: Any) -> None:
    found = text_of(json.dumps({"value": value}).encode(), 4096)
    assert len(json.dumps(found.outline)) < 10_000


@pytest.mark.parametrize("value", [[[]] * 3000, {f"name {number}": number for number in range(3000)}, "é😀" * 5000])
def test_no_part_is_much_larger_than_a_part(value: Any) -> None:
    """Between two turns there is never more than what a part of the text makes."""
    data = json.dumps(value).encode()
    steps = Reader(data, 256).read(Text())
    turns = sum(1 for _ in iter(lambda: next(steps, steps), steps))
    assert turns > len(data) / 256
