"""Compiled selections: what a document asks of plain values becomes one Python function (docs/decisions/compiled-selections.md).

Exact, or not at all. A function is compiled for the fields of a selection that only read an attribute, or call a method without
arguments, down to their leaves; graphql-core executes the others. Whatever a function was not made for makes it raise, and
graphql-core completes the same value anew: errors, nulls and paths are always its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from graphql import (
    DirectiveNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    Undefined,
    VariableNode,
    Visitor,
    is_non_null_type,
    is_object_type,
    visit,
)

from flowtrail.graphql.schema import schema
from flowtrail.graphql.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import DocumentNode, GraphQLField, GraphQLLeafType, GraphQLOutputType

    FieldDetails: TypeAlias = list[Any]
    """What graphql-core collects for a response name: the field nodes that ask for it."""

_AS_IT_IS = {
    "String": "{v}.__class__ is str",
    "ID": "{v}.__class__ is str",
    "Boolean": "{v}.__class__ is bool",
    "Int": "{v}.__class__ is int and -0x80000000 <= {v} < 0x80000000",
    "Float": "{v}.__class__ is float and {v} - {v} == 0",
}
"""When a scalar's value `v` goes out unchanged."""
_CONDITIONS = ("skip", "include")
_WORTH_IT = 10
"""So many objects at once are completed sooner when their selection is compiled for them."""
_MOST_PLANS = 500
"""Of one document: its variables can ask for as many selections as there are combinations of them."""


class Unexpected(Exception):
    """A value is not what the function was compiled for: graphql-core says what comes of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was compiled for a selection: `read` returns its response names with their values, in order.

    Those in `rest` are for graphql-core; `read` holds their places with None.
    """

    read: Callable[[Any], dict[str, Any]]
    rest: dict[str, FieldDetails]


@dataclass(slots=True)
class Plans:
    """The plans of one document, kept as long as it is: their keys hold the identities of its nodes."""

    conditions: tuple[str, ...]
    """The variables that decide whether a field is selected."""
    by_selection: dict[tuple[Any, ...], Plan | None] = field(default_factory=dict)
    is_repeated: bool = False
    """Whether the document was executed before: most that were not never are again."""
    _is_used: bool = False

    @classmethod
    def of(cls, document: DocumentNode) -> Plans:
        """Return the plans of a document; each is made when it is needed first."""
        names: set[str] = set()

        class Conditions(Visitor):
            def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
                if node.name.value in _CONDITIONS:
                    names.update(entry.value.name.value for entry in node.arguments or () if isinstance(entry.value, VariableNode))

        visit(document, Conditions())
        return cls(tuple(sorted(names)))

    def used(self) -> Plans:
        """Note that the document is executed, and return its plans."""
        self.is_repeated, self._is_used = self._is_used, True
        return self


class CompilingExecutor(schema.execution_context_class):  # type: ignore[misc, name-defined]  # Strawberry's, typed as a value
    """graphql-core's executor, which completes with `plans` what they can do. Without any it is graphql-core's own."""

    plans: Plans | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turns = Turns()

    def build_per_event_executor(self, payload: Any) -> Any:
        """Return the executor of one event: its turn begins with it, not with the subscription."""
        executor = super().build_per_event_executor(payload)
        executor._turns = Turns()
        return executor

    def collect_and_execute_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetails, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete an object."""
        plan = self._plan(return_type, field_details_list)
        if plan is not None:
            if not plan.rest and self._turns.are_over:
                return self._completed_later(plan, return_type, field_details_list, path, result, position_context)
            try:
                values = plan.read(result)
            except Exception:  # noqa: S110 (graphql-core meets the same, and reports it)
                pass
            else:
                return self._with_rest(plan, values, return_type, path, result, position_context)
        return super().collect_and_execute_subfields(return_type, field_details_list, path, result, position_context)

    async def _completed_later(self, plan: Plan, return_type: GraphQLObjectType, *rest: Any) -> Any:
        """Complete an object in a turn of its own. Nothing below it is loaded, so no statement becomes two by it."""
        await self._turns.next()
        _, _, result, _ = rest
        try:
            return plan.read(result)
        except Exception:
            completed = super().collect_and_execute_subfields(return_type, *rest)
            return await completed if self.is_awaitable(completed) else completed

    def complete_list_value(
        self, return_type: Any, field_details_list: FieldDetails, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete a list: of objects that are wholly compiled, all at once."""
        item_type = return_type.of_type
        named = item_type.of_type if is_non_null_type(item_type) else item_type
        if is_object_type(named) and result.__class__ is list:
            plan = self._plan(named, field_details_list, len(result))
            if plan is not None and not plan.rest:
                read = plan.read
                try:
                    if named is item_type:
                        return [None if item is None else read(item) for item in result]
                    return [read(item) for item in result]
                except Exception:  # noqa: S110 (likewise)
                    pass
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def _with_rest(
        self, plan: Plan, values: dict[str, Any], return_type: GraphQLObjectType, path: Any, result: Any, position_context: Any
    ) -> Any:
        if not plan.rest:
            return values
        rest: Any = self.execute_fields(return_type, result, path, plan.rest, position_context)
        if not self.is_awaitable(rest):
            values.update(rest)
            return values

        async def merged() -> dict[str, Any]:
            values.update(await rest)
            return values

        return merged()

    def _plan(self, return_type: GraphQLObjectType, field_details_list: FieldDetails, objects: int = 1) -> Plan | None:
        plans = self.plans
        if plans is None:
            return None
        coerced = self.variable_values.coerced
        conditions = [coerced.get(name) for name in plans.conditions]
        key = (return_type, *(id(details.node) for details in field_details_list), *conditions)
        try:
            return plans.by_selection[key]
        except KeyError:
            is_worth_it = plans.is_repeated or objects >= _WORTH_IT
            if not is_worth_it or len(plans.by_selection) >= _MOST_PLANS:
                return None
            plan = plans.by_selection[key] = _Compiler(self).plan(return_type, field_details_list)
            return plan


class _Compiler:
    """Writes the source of the functions for a selection and all that is selected below it."""

    def __init__(self, executor: CompilingExecutor) -> None:
        self._executor = executor
        self._names: dict[str, Any] = {"Unexpected": Unexpected}
        self._source: list[str] = []

    def plan(self, type_: GraphQLObjectType, field_details_list: FieldDetails) -> Plan | None:
        """Return the plan of a selection; None when it has nothing that can be compiled."""
        found = self._function(type_, field_details_list)
        if found is None:
            return None
        name, rest = found
        exec("\n".join(self._source), self._names)  # noqa: S102 (of names in the schema, and JSON strings of response names)
        return Plan(self._names[name], rest)

    def _function(self, type_: GraphQLObjectType, field_details_list: FieldDetails) -> tuple[str, dict[str, FieldDetails]] | None:
        definition = type_.extensions.get("strawberry-definition")
        if definition is None or any(details.defer_usage or details.fragment_variable_values for details in field_details_list):
            return None
        grouped, defer_usages, _ = self._executor.collect_subfields(type_, field_details_list)
        if defer_usages:
            return None
        entries, rest = [], {}
        for response_name, details_list in grouped.items():
            expression = self._field(type_, details_list)
            if expression is None:
                rest[response_name] = details_list
            entries.append(f"{response_name!r}: {expression}")
        if len(rest) == len(entries):
            return None
        name = self._named("read", None)
        expected = self._named("Class", definition.origin)
        self._source.append(
            f"def {name}(o):\n"
            f" if o.__class__ is not {expected}: raise Unexpected\n"
            f" return {{{', '.join(entries)}}}"
        )  # fmt: skip
        return name, rest

    def _field(self, parent: GraphQLObjectType, details_list: FieldDetails) -> str | None:
        """Return the expression for a field of `o`; None when graphql-core must execute it."""
        name = details_list[0].node.name.value
        if name == "__typename":
            return repr(parent.name)
        graphql_field = parent.fields.get(name)
        definition = graphql_field.extensions.get("strawberry-definition") if graphql_field else None
        if graphql_field is None or definition is None or not _is_plain(definition, graphql_field):
            return None
        resolver = definition.base_resolver
        value = f"o.{definition.python_name}" if resolver is None else f"{self._named('method', resolver.wrapped_func)}(o)"
        return self._completed(graphql_field.type, value, details_list)

    def _completed(self, type_: GraphQLOutputType, value: str, details_list: FieldDetails) -> str | None:
        variable = self._named("v", None)
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        expression = self._completed_value(inner, variable, details_list)
        if expression is None:
            return None
        if is_non_null_type(type_):
            return f"({expression} if ({variable} := {value}) is not None else missing())"
        return f"(None if ({variable} := {value}) is None else {expression})"

    def _completed_value(self, type_: Any, variable: str, details_list: FieldDetails) -> str | None:
        """Return the expression for what is in `variable`, which is not None."""
        match type_:
            case GraphQLScalarType() if type_.name in _AS_IT_IS:
                as_it_is = _AS_IT_IS[type_.name].format(v=variable)
                return f"({variable} if {as_it_is} else {self._leaf(type_)}({variable}))"
            case GraphQLEnumType():
                members = getattr(type_, "wrapped_cls", ())
                names = {member: type_.coerce_output_value(member) for member in members}
                return f"{self._named('names', names)}[{variable}]"
            case GraphQLScalarType():
                return f"{self._leaf(type_)}({variable})"
            case GraphQLObjectType():
                found = self._function(type_, details_list)
                return None if found is None or found[1] else f"{found[0]}({variable})"
            case GraphQLList():
                item = self._named("item", None)
                expression = self._completed(type_.of_type, item, details_list)
                return None if expression is None else f"[{expression} for {item} in listed({variable})]"
        return None

    def _leaf(self, type_: GraphQLLeafType) -> str:
        return self._named("leaf", _completing(type_))

    def _named(self, kind: str, value: Any) -> str:
        """Return a name that is free, for `value` if there is one."""
        self._names.setdefault("missing", _missing)
        self._names.setdefault("listed", _listed)
        name = f"{kind}{len(self._names)}"
        self._names[name] = value
        return name


def _is_plain(definition: Any, graphql_field: GraphQLField) -> bool:
    """Whether a Strawberry field only reads an attribute, or calls a method that takes nothing but its object."""
    resolver = definition.base_resolver
    if graphql_field.args or definition.permission_classes or definition.extensions:
        return False
    if resolver is None:
        return True
    takes_more = resolver.arguments or resolver.info_parameter or resolver.root_parameter or resolver.parent_parameter
    return not (resolver.is_async or takes_more) and resolver.self_parameter is not None


def _completing(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    coerce = type_.coerce_output_value

    def complete(value: Any) -> Any:
        if isinstance(value, Exception):
            raise Unexpected
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise Unexpected
        return coerced

    return complete


def _missing() -> Any:
    raise Unexpected


def _listed(value: Any) -> Any:
    if value.__class__ not in (list, tuple):
        raise Unexpected
    return value
