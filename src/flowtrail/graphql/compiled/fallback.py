"""graphql-core's executor, for operations that can't be answered by what is compiled: of them, too, rows are most of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from graphql import MiddlewareManager, is_non_null_type, is_object_type

from flowtrail.graphql.compiled.running import listed
from flowtrail.graphql.schema import schema
from flowtrail.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLObjectType

    from flowtrail.graphql.compiled.compiler import FieldDetails
    from flowtrail.graphql.compiled.plans import Plans
    from flowtrail.graphql.context import Context


class FallbackExecutor(schema.execution_context_class):  # type: ignore[misc, name-defined]  # Strawberry's, typed as a value
    """graphql-core's executor, which reads objects with compiled functions where that is all there is to do."""

    plans: Plans | None = None
    """Without any it is graphql-core's own."""
    answers: Mapping[str, bytes] = {}
    """What is known already of the schema, by response name of the root's fields."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turns = self._new_turns()

    def _new_turns(self) -> Turns:
        context: Context | None = self.context_value
        return Turns(context.share.client if context is not None else None)

    def build_per_event_executor(self, payload: Any) -> Any:
        """Return the executor of one event: its turn begins with it, not with the subscription."""
        executor = super().build_per_event_executor(payload)
        executor._turns = self._new_turns()
        return executor

    def execute_field(
        self, parent_type: GraphQLObjectType, source: Any, field_details_list: FieldDetails, path: Any, *rest: Any
    ) -> Any:
        """Complete a field."""
        if self.answers and path.prev is None and path.key in self.answers:
            return orjson.Fragment(self.answers[path.key])
        return super().execute_field(parent_type, source, field_details_list, path, *rest)

    def collect_and_execute_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetails, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete an object."""
        read = self._reader(return_type, field_details_list)
        if read is None:
            return super().collect_and_execute_subfields(return_type, field_details_list, path, result, position_context)
        if self._turns.are_over:
            return self._completed_later(read, return_type, field_details_list, path, result, position_context)
        try:
            return read(result)
        except Exception:
            return super().collect_and_execute_subfields(return_type, field_details_list, path, result, position_context)

    async def _completed_later(self, read: Callable[[Any], dict[str, Any]], return_type: GraphQLObjectType, *rest: Any) -> Any:
        """Complete an object in a turn of its own. Nothing below it is loaded, so no statement becomes two by it."""
        await self._turns.next()
        _, _, result, _ = rest
        try:
            return read(result)
        except Exception:
            completed = super().collect_and_execute_subfields(return_type, *rest)
            return await completed if self.is_awaitable(completed) else completed

    def complete_list_value(
        self, return_type: Any, field_details_list: FieldDetails, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete a list: of objects that need only be read, all at once."""
        item_type = return_type.of_type
        named = item_type.of_type if is_non_null_type(item_type) else item_type
        read = self._reader(named, field_details_list) if is_object_type(named) else None
        if read is not None:
            try:
                if named is item_type:
                    return [None if item is None else read(item) for item in listed(result)]
                return [read(item) for item in listed(result)]
            except Exception:  # noqa: S110 (graphql-core meets the same, and reports it)
                pass
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def _reader(self, type_: GraphQLObjectType, field_details_list: FieldDetails) -> Callable[[Any], dict[str, Any]] | None:
        return self.plans.reader(self, type_, field_details_list) if self.plans is not None else None


def known_outcomes(outcomes: Mapping[str, Any]) -> MiddlewareManager:
    """Return what answers the root fields of a mutation that were called already, by response name."""

    def resolve_once(resolve: Any, source: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None or info.path.key not in outcomes:
            return resolve(source, info, **arguments)
        outcome = outcomes[info.path.key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return MiddlewareManager(resolve_once)
