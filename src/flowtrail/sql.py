"""Two helpers for statements whose conditions vary: values always travel as parameters."""

from typing import Any

from flowtrail import json_text


class Arguments(list[Any]):
    """The values of a statement's parameters, in order."""

    def add(self, value: Any) -> str:
        """Append a value and return its placeholder, as `$3`."""
        self.append(value)
        return f"${len(self)}"


def like_pattern(text: str) -> str:
    """Return the LIKE pattern for "contains `text`"."""
    escaped = json_text.clean(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
