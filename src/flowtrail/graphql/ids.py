"""Global ids: opaque to clients, unique across types, and checked when they come back."""

import uuid
from typing import Literal

import strawberry

from flowtrail.errors import BadUserInput
from flowtrail.pagination import decode_base64, encode_base64

TypeName = Literal["Flow", "Execution", "NodeExecution"]


@strawberry.interface(description="An object that can be fetched again by its id.")
class Node:
    @strawberry.field(description="Opaque and globally unique.")
    def id(self) -> strawberry.ID:
        raise NotImplementedError


def encode_id(type_name: TypeName, key: uuid.UUID, position: int | None = None) -> strawberry.ID:
    """Return the global id of an object; of a node execution by its execution and position."""
    named = f"{type_name}:{key}" if position is None else f"{type_name}:{key}:{position}"
    return strawberry.ID(encode_base64(named.encode()))


def decode_id(argument: str, global_id: str) -> tuple[TypeName, uuid.UUID, int]:
    """Return the type, UUID and node position (0 for others) of an id; raises BadUserInput naming the argument."""
    try:
        type_name, key, *position = decode_base64(global_id).decode().split(":")
        if type_name in ("Flow", "Execution") and not position:
            return type_name, uuid.UUID(key), 0  # type: ignore[return-value]  # checked in the line above
        if type_name == "NodeExecution" and len(position) == 1 and position[0].isdecimal() and len(position[0]) < 10:
            return type_name, uuid.UUID(key), int(position[0])  # type: ignore[return-value]  # likewise
    except ValueError:
        pass
    raise BadUserInput(f"{argument}: not an id of this service")


def decode_id_of(type_name: TypeName, argument: str, global_id: str) -> uuid.UUID:
    """Return the UUID in an id that must be of one type (not NodeExecution); raises BadUserInput otherwise."""
    found, key, _ = decode_id(argument, global_id)
    if found != type_name:
        raise BadUserInput(f"{argument}: the id is one of {found}, where one of {type_name} is needed")
    return key
