"""What a document asks the schema itself is the same every time: it is answered when the document is compiled, by graphql-core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, Node, VariableNode

from flowtrail.graphql.inputs import Unexpected
from flowtrail.graphql.response import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graphql import DocumentNode, Executor, GraphQLObjectType

FIELDS = ("__schema", "__type")


def answer(executor: Executor[Any], root: GraphQLObjectType, response_name: str, details_list: Any) -> bytes:
    """Return the JSON of one field of the root; raises Unexpected when there are errors to report."""
    data: Any = executor.execute_fields(root, None, None, {response_name: details_list}, None)
    if executor.collected_errors.errors:
        raise Unexpected
    return encode(data[response_name])


def variables(document: DocumentNode) -> set[str] | None:
    """Return the names of the variables that answers depend on; None when the document asks nothing of the schema."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    asking = [node for node in _nodes(document) if isinstance(node, FieldNode) and node.name.value in FIELDS]
    if not asking:
        return None
    names: set[str] = set()
    waiting: list[Node] = list(asking)
    while waiting:
        for node in _nodes(waiting.pop()):
            if isinstance(node, VariableNode):
                names.add(node.name.value)
            elif isinstance(node, FragmentSpreadNode) and (spread := fragments.pop(node.name.value, None)) is not None:
                waiting.append(spread)
    return names


def _nodes(node: Node) -> Iterator[Node]:
    """Return a node and all nodes below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node.keys:
            value = getattr(node, name, None)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, (list, tuple)):
                waiting += [each for each in value if isinstance(each, Node)]
