"""What a document selects below a field, so that a resolver reads all of it at once, and nothing else (spec 2.6)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import strawberry
from graphql import BooleanValueNode, FieldNode, FragmentSpreadNode, InlineFragmentNode, VariableNode

from flowtrail.graphql.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from graphql import DirectiveNode, FragmentDefinitionNode, SelectionSetNode

    from flowtrail.executions import Written

T = TypeVar("T")
_SKIPPED_IF = {"skip": True, "include": False}


class Ahead:
    """The fields selected below a field by name, under whatever alias and type condition, and what is selected below each."""

    def __init__(
        self,
        fields: Mapping[str, list[FieldNode]],
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._fields = fields
        self._fragments = fragments
        self._variables = variables
        self.written: Written | None = None
        """What PostgreSQL shall write of the executions that the resolver reads, in the place of their columns."""
        self._below: dict[str, Ahead] = {}
        self._derived: dict[Any, Any] = {}

    @classmethod
    def of(cls, nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]) -> Ahead:
        """Return what is selected below a field; `nodes` are all that ask for it under one name."""
        found: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for node in nodes:
            for field in _selected(node.selection_set, fragments, variables, seen):
                found.setdefault(field.name.value, []).append(field)
        return cls(found, fragments, variables)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def times(self, name: str) -> int:
        """Return how often a field is selected, under whatever alias."""
        return len(self._fields.get(name, ()))

    def below(self, *names: str) -> Ahead:
        """Return what is selected below a field, or a field of that field and so on; nothing below one that is not selected."""
        name, *further = names
        found = self._below.get(name)
        if found is None:
            found = self._below[name] = Ahead.of(self._fields.get(name, ()), self._fragments, self._variables)
        return found.below(*further) if further else found

    def derived(self, derive: Callable[[Ahead], T]) -> T:
        """Return what `derive` makes of this, worked out once."""
        try:
            return self._derived[derive]  # type: ignore[no-any-return]
        except KeyError:
            return self._derived.setdefault(derive, derive(self))  # type: ignore[no-any-return]


def _selected(
    selection_set: SelectionSetNode | None,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    seen: set[str],
) -> Iterator[FieldNode]:
    """Return the fields of a selection set, those of fragments among them; each fragment once."""
    for selection in selection_set.selections if selection_set is not None else ():
        if any(_is_skipped(directive, variables) for directive in selection.directives or ()):
            continue
        match selection:
            case FieldNode():
                yield selection
            case InlineFragmentNode():
                yield from _selected(selection.selection_set, fragments, variables, seen)
            case FragmentSpreadNode() if selection.name.value not in seen:
                seen.add(selection.name.value)
                yield from _selected(fragments[selection.name.value].selection_set, fragments, variables, seen)


def _is_skipped(directive: DirectiveNode, variables: Mapping[str, Any]) -> bool:
    skipped_if = _SKIPPED_IF.get(directive.name.value)
    match directive.arguments[0].value if directive.arguments and skipped_if is not None else None:
        case BooleanValueNode() as literal:
            return literal.value is skipped_if
        case VariableNode() as variable:
            return variables.get(variable.name.value) is skipped_if
    return False


class Info(strawberry.Info[Context, None]):
    """What a resolver learns of the operation."""

    @cached_property
    def ahead(self) -> Ahead:
        """What the document selects below the field."""
        raw = self._raw_info
        return Ahead.of(raw.field_nodes, raw.fragments, self.variable_values)
