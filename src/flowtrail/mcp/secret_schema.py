"""Which parameters a tool's input schema marks as secret: `format: password` or `writeOnly` (spec 4.7).

A schema position is a list of the alternatives that may describe a value there: references, `anyOf`, `oneOf` and `allOf`
resolved.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Alternatives = Sequence[Mapping[str, Any]]
"""The schemas that may describe one value."""

_DEEPEST = 20


class SecretSchema:
    """A tool's input schema, read for its marks. `marks_secrets` says whether there is any."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self.marks_secrets = _marks_secrets(schema)

    @property
    def root(self) -> Alternatives:
        """The position of the parameters object."""
        return self._alternatives(self._root)

    def property(self, position: Alternatives, name: str) -> Alternatives:
        """Return the position of the field `name` of objects at `position`."""
        found: list[Mapping[str, Any]] = []
        for schema in position:
            properties = schema.get("properties")
            if isinstance(properties, Mapping) and name in properties:
                found.extend(self._alternatives(properties[name]))
            else:
                found.extend(self._alternatives(schema.get("additionalProperties")))
        return found

    def items(self, position: Alternatives) -> Alternatives:
        """Return the position of the items of arrays at `position`."""
        return [found for schema in position for found in self._alternatives(schema.get("items"))]

    @staticmethod
    def is_secret(position: Alternatives) -> bool:
        """Return whether a value at `position` is marked."""
        return any(_is_marked(schema) for schema in position)

    def _alternatives(self, schema: Any, depth: int = 0) -> list[Mapping[str, Any]]:
        resolved = self._resolved(schema)
        if resolved is None or depth > _DEEPEST:
            return []
        found = [resolved]
        for keyword in ("anyOf", "oneOf", "allOf"):
            for part in resolved.get(keyword) or ():
                found.extend(self._alternatives(part, depth + 1))
        return found

    def _resolved(self, schema: Any) -> Mapping[str, Any] | None:
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return None
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            target = self._target(reference)
            # Keywords beside a reference count too: pydantic puts writeOnly there.
            schema = {**target, **{key: item for key, item in schema.items() if key != "$ref"}}
        return None

    def _target(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for part in filter(None, reference.removeprefix("#").split("/")):
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        return target if isinstance(target, Mapping) else {}


def _is_marked(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "password" or schema.get("writeOnly") is True


def _marks_secrets(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return _is_marked(schema) or any(map(_marks_secrets, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_marks_secrets, schema))
