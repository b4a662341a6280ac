"""Fields of an object that read a column of its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import strawberry

if TYPE_CHECKING:
    from collections.abc import Callable


def column(name: str, make: Callable[[Any], Any] | None = None, *, description: str | None = None) -> Any:
    """Return a field that reads `row[name]` of its object, through `make` unless it is None.

    The function notes the column: a compiled operation reads it itself (compiled/compiler.py).
    """

    def read(self: Any) -> Any:
        value = self.row[name]
        return value if make is None or value is None else make(value)

    read.__annotations__.clear()  # the field's own annotation tells its type
    read.column = name  # type: ignore[attr-defined]
    return strawberry.field(resolver=read, description=description)
