"""Cursors: opaque text that is either a position or refused; nothing in between (spec 2.1, 2.10)."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowtrail.flows import FlowPosition
from flowtrail.pagination import Position
from properties import examples

TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))  # noqa: DTZ001 (the strategy adds UTC)
POSITIONS = st.builds(Position, TIMES, st.uuids(allow_nil=True), st.none() | st.integers(1, 2**31 - 2))
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@examples(100)
@given(POSITIONS)
def test_an_executions_cursor_gives_its_position_back(position: Position) -> None:
    assert Position.decode(position.encode()) == position
    assert position.encode().isascii()


@examples(100)
@given(st.builds(FlowPosition, NAMES, NAMES))
def test_a_flows_cursor_gives_its_position_back(position: FlowPosition) -> None:
    assert FlowPosition.decode(position.encode()) == position


ANYTHING = st.one_of(
    st.text(max_size=60),
    st.binary(max_size=40).map(lambda packed: base64.urlsafe_b64encode(packed).rstrip(b"=").decode()),
    st.binary(min_size=24, max_size=28).map(lambda packed: (b"\x01" + packed).hex()),
    st.text("0123456789abcdefABCDEF ", min_size=48, max_size=60),
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: base64.urlsafe_b64encode(repr(value).replace("'", '"').encode("utf-8", "replace")).rstrip(b"=").decode()
    ),
)


@pytest.mark.parametrize("kind", [Position, FlowPosition])
@examples(150)
@given(ANYTHING)
def test_any_text_is_a_cursor_or_refused(kind: type[Position] | type[FlowPosition], text: str) -> None:
    try:
        position = kind.decode(text)
    except ValueError:
        return
    assert kind.decode(position.encode()) == position


@examples(100)
@given(POSITIONS, st.integers(0, 400), st.integers(1, 255))
def test_a_changed_cursor_is_another_position_or_refused(position: Position, place: int, flip: int) -> None:
    cursor = position.encode()
    packed = bytearray.fromhex(cursor)
    packed[place % len(packed)] ^= flip
    try:
        assert Position.decode(packed.hex()) != position
    except ValueError:
        return
