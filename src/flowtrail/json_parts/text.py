"""The compact text of a large value, written as the value is read: its objects are gone again before the next part is decoded.

That keeps memory to the text, and the garbage collector from looking at what will be gone anyway.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowtrail import json_text
from flowtrail.json_text import MAX_DEPTH, JsonText, JsonTextError
from flowtrail.parameters import MAX_LENGTH, outline_of, shortened

if TYPE_CHECKING:
    from flowtrail.json_parts.kinds import Builder, Kind, Steps, StringBuilder

_OUTLINED = MAX_LENGTH // 2
"""Members of an array or object that may all be in its outline."""
_OUTLINED_CHARACTERS = 2 * MAX_LENGTH + 2
"""Of a string: more than a preview or a digest is made of."""
_AT_ONCE = 1000
"""Names that are forgotten, or written, in one go."""
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


class RepeatedName(Exception):
    """An object has a name twice: its text has to be written anew, by names."""


class Text:
    """A value as its JsonText."""

    def __init__(self, *, by_name: bool = False, level: int = 1) -> None:
        """`by_name` takes names that come twice, and longer; `level` is how deep in the value this one is."""
        self._by_name = by_name
        self._level = level

    def array(self) -> Builder:
        return _Array(self._level, by_name=self._by_name)

    def object(self) -> Builder:
        return (_ObjectByName if self._by_name else _Object)(self._level, by_name=self._by_name)

    def string(self) -> StringBuilder:
        return _String(self._level)


@dataclass(slots=True)
class _Made:
    """A value inside of another."""

    pieces: list[str]
    outline: Any
    is_too_deep: bool


def _finished(made: _Made, level: int) -> Steps[Any]:
    """What a builder returns: of the whole value, its JsonText."""
    if level > 1:
        return made
    if made.is_too_deep:
        return JsonText("", 0, b"", made.outline, _TOO_DEEP)
    size, sha256 = 0, hashlib.sha256()
    for piece in made.pieces:
        encoded = piece.encode()
        size += len(encoded)
        sha256.update(encoded)
        yield
    return JsonText("".join(made.pieces), size, sha256.digest(), made.outline)


class _String:
    def __init__(self, level: int) -> None:
        self._level = level
        self._pieces = ['"']
        self._begins = ""

    def add(self, piece: str) -> None:
        self._pieces.append(json_text.dump(piece)[1:-1])
        if len(self._begins) < _OUTLINED_CHARACTERS:
            self._begins += piece[:_OUTLINED_CHARACTERS]

    def close(self) -> Steps[Any]:
        self._pieces.append('"')
        return (yield from _finished(_Made(self._pieces, self._begins, is_too_deep=False), self._level))


class _Array:
    def __init__(self, level: int, *, by_name: bool) -> None:
        self._level = level
        self._by_name = by_name
        self._pieces: list[str] = []
        self._outline: list[Any] = []
        self._is_too_deep = level > MAX_DEPTH

    def inside(self, name: str | None) -> Kind:
        return Text(by_name=self._by_name, level=self._level + 1)

    def put(self, name: str | None, value: _Made, start: int, end: int) -> Steps[None]:
        self._is_too_deep |= value.is_too_deep
        self._pieces += (",", *value.pieces)
        if len(self._outline) <= _OUTLINED:
            self._outline.append(value.outline)
        yield

    def take(self, run: list[Any], start: int, end: int) -> Steps[None]:
        text = _text_of(run, self._level)
        if text is None:
            self._is_too_deep = True
            return
        self._pieces += (",", text)
        yield
        self._outline += map(outline_of, run[: _OUTLINED + 1 - len(self._outline)])

    def close(self) -> Steps[Any]:
        outline = shortened(self._outline) if len(self._outline) > _OUTLINED else self._outline
        made = _Made(["[", *self._pieces[1:], "]"], outline, self._is_too_deep)
        return (yield from _finished(made, self._level))


class _Object:
    """An object without names that come twice; raises RepeatedName."""

    def __init__(self, level: int, *, by_name: bool) -> None:
        self._level = level
        self._by_name = by_name
        self._pieces: list[str] = []
        self._names: set[str] = set()
        self._outline: dict[str, Any] = {}
        self._is_too_deep = level > MAX_DEPTH

    def inside(self, name: str | None) -> Kind:
        return Text(by_name=self._by_name, level=self._level + 1)

    def put(self, name: str | None, value: _Made, start: int, end: int) -> Steps[None]:
        assert name is not None  # noqa: S101 (objects have names)
        self._is_too_deep |= value.is_too_deep
        self._note({name: value.outline})
        self._write(name, value.pieces)
        yield

    def take(self, run: dict[str, Any], start: int, end: int) -> Steps[None]:
        text = _text_of(run, self._level)
        if text is None:
            self._is_too_deep = True
            return
        yield
        self._note({name: outline_of(value) for name, value in run.items() if self._is_outlined(name)})
        self._write_run(run, text)

    def close(self) -> Steps[Any]:
        pieces = yield from self._written()
        outline = shortened(self._outline) if len(self._outline) > _OUTLINED else self._outline
        return (yield from _finished(_Made(["{", *pieces, "}"], outline, self._is_too_deep), self._level))

    def _is_outlined(self, name: str) -> bool:
        return name in self._outline or len(self._outline) <= _OUTLINED

    def _note(self, outlines: dict[str, Any]) -> None:
        for name, outline in outlines.items():
            if self._is_outlined(name):
                self._outline[name] = outline

    def _write(self, name: str, pieces: list[str]) -> None:
        self._know({name})
        self._pieces += (",", f"{json_text.dump(name)}:", *pieces)

    def _write_run(self, run: dict[str, Any], text: str) -> None:
        self._know(run.keys())
        self._pieces += (",", text)

    def _know(self, names: Any) -> None:
        if not self._names.isdisjoint(names):
            raise RepeatedName
        self._names.update(names)

    def _written(self) -> Steps[list[str]]:
        while self._names:
            for _ in range(min(_AT_ONCE, len(self._names))):
                self._names.pop()
            yield
        return self._pieces[1:]


class _ObjectByName(_Object):
    """Any object: of a name that comes again the last value holds, in the place of the first."""

    def __init__(self, level: int, *, by_name: bool) -> None:
        super().__init__(level, by_name=by_name)
        self._members: dict[str, str | list[str]] = {}

    def _write(self, name: str, pieces: list[str]) -> None:
        self._members[name] = pieces

    def _write_run(self, run: dict[str, Any], text: str) -> None:
        for name, value in run.items():
            self._members[name] = json_text.dump(value)

    def _written(self) -> Steps[list[str]]:
        written: list[str] = []
        while self._members:
            last = [self._members.popitem() for _ in range(min(_AT_ONCE, len(self._members)))]
            for name, value in last:
                written += (value,) if isinstance(value, str) else reversed(value)
                written += (f"{json_text.dump(name)}:", ",")
            yield
        return written[-2::-1]


def _text_of(run: Any, level: int) -> str | None:
    """The text of members, without their brackets; None where they are nested too deeply."""
    try:
        return json_text.dump(run, MAX_DEPTH - level + 1)[1:-1]
    except JsonTextError:
        return None
