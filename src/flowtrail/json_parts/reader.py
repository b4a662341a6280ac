"""The grammar of JSON over UTF-8, for texts that are too large to be decoded in one go.

Whatever is smaller than a part is decoded by the standard library's decoder, together with as many of its neighbours as fit into
one: the members of an array between two commas are an array themselves, when brackets are put around them. Only the arrays,
objects and strings that are larger are gone through here. Where the text is wrong, the decoder is shown the place, with as little
before it as makes it the same, and says what it says of the whole.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from flowtrail import json_text
from flowtrail.json_parts import strings
from flowtrail.json_parts.encoding import CHECKED, PART, boundary

if TYPE_CHECKING:
    from flowtrail.json_parts.kinds import Kind, Steps, StringBuilder

_SPACE = re.compile(rb"[ \t\n\r]*")
_SPACE_OF_TEXT = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(rb"[-+.0-9eE]*")
_LITERAL = re.compile(r"null|true|false|NaN|-?Infinity")
_AFTER_VALUE = frozenset(",]} \t\n\r")
_LIKELY_ENDS = {"{": "},", "[": "],", '"': '",'}
"""How an item of an array ends, probably, by its first character."""
_LIKELY_COMMAS = (',"', ', "', ",\n")
"""How a comma between the members of an object goes on, probably."""
_BEFORE_SEAM, _AFTER_SEAM = 3, 4
"""Characters before a comma between members, and from it on, by which the next such comma is known."""
_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""
_WRONG = (StopIteration, ValueError, RecursionError)
"""What the decoder raises when a text is wrong, or is not whole."""


class Seam(NamedTuple):
    """What was around a comma between two members, and where in it the comma is."""

    text: str
    comma: int


class Reader:
    """Reads one text."""

    def __init__(self, data: bytes | bytearray, part: int = PART) -> None:
        """`data` is what `utf_8_of` returns; `part` is at least 16 bytes."""
        self._data = data
        self._part = part
        self._at = 0
        self._comma = 0
        """Where the last comma between members was."""

    def read(self, kind: Kind) -> Steps[Any]:
        """Return the value of the text, and what is large of it as `kind` makes it; raises JsonTextError."""
        try:
            yield from self._skip_space()
            found, value = self._small()
            if not found:
                value = yield from self._large(kind, "")
            yield from self._skip_space()
        except RecursionError:
            raise json_text.JsonTextError("nested too deeply") from None
        if self._at < len(self._data):
            raise (yield from self._error("Extra data", self._at))
        return value

    def _large(self, kind: Kind, before: str) -> Steps[Any]:
        """Read a value that is larger than a part; `before` stands for what comes before it."""
        match self._next():
            case b"{" | b"[":
                return (yield from self._container(kind))
            case b'"':
                return (yield from self._string(kind.string()))
            case _:
                return (yield from self._scalar(before))

    def _container(self, kind: Kind) -> Steps[Any]:
        opening = self._next()
        builder, closing = (kind.object(), b"}") if opening == b"{" else (kind.array(), b"]")
        is_object, before, seam = opening == b"{", opening.decode(), Seam("", 0)
        self._at += 1
        yield
        yield from self._skip_space()
        if self._next() == closing:
            self._at += 1
            return (yield from builder.close())
        while True:
            start = self._at
            run, seam = self._run(seam, is_object=is_object)
            if run:
                yield from builder.take(run, start, self._comma)
            else:
                name = (yield from self._name(before)) if is_object else None
                found, value = self._small()
                if found:
                    yield from builder.take([value] if name is None else {name: value}, start, self._at)
                elif (following := self._next()) == b"{" or following == b"[":  # not by _large: each frame counts
                    value = yield from self._container(builder.inside(name))
                    yield from builder.put(name, value, start, self._at)
                elif following == b'"':
                    value = yield from self._string(builder.inside(name).string())
                    yield from builder.put(name, value, start, self._at)
                else:
                    value = yield from self._scalar('{"":' if is_object else before)
                    yield from builder.take([value] if name is None else {name: value}, start, self._at)
                yield from self._skip_space()
                if self._next() == closing:
                    self._at += 1
                    return (yield from builder.close())
                if self._next() != b",":
                    raise (yield from self._unexpected('{"":0' if is_object else "[0"))
                self._comma = self._at
                self._at += 1
            before = '{"":0,' if is_object else "[0,"
            yield from self._skip_space()

    def _run(self, seam: Seam, *, is_object: bool) -> tuple[Any, Seam]:
        """Read the next members up to the last comma between them that is in the next part, none where there is no such.

        `seam` is what was around such a comma before; returned with the members is what is around this one.
        """
        window = self._window()
        end = _likely_end(window, seam, is_object=is_object)
        run = _members(window[:end], is_object=is_object) if end > 0 and window[end] == "," else None
        if not run:
            run, end = _one_by_one(window, is_object=is_object)
        if run:
            begins = max(0, end - _BEFORE_SEAM)
            seam = Seam(window[begins : end + _AFTER_SEAM], end - begins)
            self._pass(window, end)
            self._comma = self._at
            self._at += 1
        return run, seam

    def _name(self, before: str) -> Steps[str]:
        """Read the name of a member, and the colon."""
        if self._next() != b'"':
            raise (yield from self._unexpected(before))
        string = self._string(_Name())
        name: str = yield from string
        yield from self._skip_space()
        if self._next() != b":":
            raise (yield from self._unexpected('{""'))
        self._at += 1
        yield from self._skip_space()
        return name

    def _string(self, builder: StringBuilder) -> Steps[Any]:
        pieces = strings.pieces(self._data, self._at, self._part)
        while True:
            try:
                builder.add(next(pieces))
            except StopIteration as stop:
                self._at = stop.value
                return (yield from builder.close())
            except strings.StringError as error:
                raise (yield from self._error(error.message, error.at)) from None
            yield

    def _scalar(self, before: str) -> Steps[Any]:
        """Read a number that is larger than a part, or whatever else begins with no bracket or quotation mark."""
        end = self._at
        while (found := _NUMBER.match(self._data, end, end + self._part)) and found.end() > end:
            end = found.end()
            yield
        literal = _LITERAL.match(self._window())
        text = literal[0] if literal else self._data[self._at : end].decode()
        try:
            value, read = json_text.scan(text, 0)
        except StopIteration:
            raise (yield from self._unexpected(before)) from None
        except ValueError as error:
            raise json_text.JsonTextError(json_text.reason(error)) from None
        self._at += read
        return value

    def _small(self) -> tuple[bool, Any]:
        """Read a value if all of it is in the next part; return whether it was."""
        window = self._window()
        try:
            value, end = json_text.scan(window, 0)
        except _WRONG:
            return False, None
        if window[end : end + 1] not in _AFTER_VALUE if end < len(window) else self._at + self._part < len(self._data):
            return False, None
        self._pass(window, end)
        return True, value

    def _window(self) -> str:
        """The text of the next part."""
        return self._data[self._at : boundary(self._data, self._at + self._part)].decode("utf-8", "surrogatepass")

    def _next(self) -> bytes:
        return bytes(self._data[self._at : self._at + 1])

    def _pass(self, window: str, end: int) -> None:
        """Go on to the character `end` of a window."""
        self._at += end if window.isascii() else _size(window[:end])

    def _skip_space(self) -> Steps[None]:
        while (found := _SPACE.match(self._data, self._at, self._at + CHECKED)) and found.end() > self._at:
            self._at = found.end()
            yield

    def _unexpected(self, before: str) -> Steps[json_text.JsonTextError]:
        """Return the error of what comes next, which is wrong wherever `before` comes before it."""
        text = self._window()[:16]
        try:
            json_text.scan(before + text, 0)
        except StopIteration as stop:
            message, place = "Expecting value", stop.value - len(before)
        except json.JSONDecodeError as error:
            message, place = error.msg, error.pos - len(before)
        else:
            raise AssertionError(f"the decoder finds nothing wrong with {before + text!r}")
        return (yield from self._error(message, self._comma if place < 0 else self._at + _size(text[:place])))

    def _error(self, message: str, at: int) -> Steps[json_text.JsonTextError]:
        """Return the error that says so of the byte `at`."""
        line, begins = 1, 0
        for start in range(0, at, CHECKED):
            part = self._data[start : min(start + CHECKED, at)]
            if breaks := part.count(b"\n"):
                line, begins = line + breaks, start + part.rfind(b"\n") + 1
            yield
        column = 1
        for start in range(begins, at, CHECKED):
            column += len(self._data[start : min(start + CHECKED, at)].translate(None, _CONTINUATION))
            yield
        return json_text.JsonTextError(json_text.misplaced(message, line, column))


class _Name:
    """Puts a name together."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def close(self) -> Steps[str]:
        return "".join(self._pieces)
        yield


def _likely_end(window: str, seam: Seam, *, is_object: bool) -> int:
    """Where the last comma between members is, probably; below 1 for none."""
    if seam.text and (found := window.rfind(seam.text)) >= 0:
        return found + seam.comma
    if is_object:
        return max(window.rfind(likely) for likely in _LIKELY_COMMAS)
    likely = _LIKELY_ENDS.get(window[:1], ",")
    return window.rfind(likely) + len(likely) - 1


def _members(text: str, *, is_object: bool) -> Any:
    """Return the members that a text consists of; none when it does not."""
    text = f"{{{text}}}" if is_object else f"[{text}]"
    try:
        run, end = json_text.scan(text, 0)
    except _WRONG:
        return None
    return run if end == len(text) else None


def _one_by_one(window: str, *, is_object: bool) -> tuple[Any, int]:
    """Return the members at the beginning of a window that a comma follows, and where the last of these commas is."""
    run: Any = {} if is_object else []
    at = comma = 0
    try:
        while True:
            name = None
            if is_object:
                if window[at] != '"':
                    break
                name, at = json_text.scan_string(window, at + 1)
                at = _space(window, at)
                if window[at] != ":":
                    break
                at = _space(window, at + 1)
            value, at = json_text.scan(window, at)
            at = _space(window, at)
            if window[at] != ",":
                break
            if is_object:
                run[name] = value
            else:
                run.append(value)
            comma = at
            at = _space(window, at + 1)
    except (*_WRONG, IndexError):
        pass
    return run, comma


def _space(window: str, at: int) -> int:
    found = _SPACE_OF_TEXT.match(window, at)
    return found.end() if found else at


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
