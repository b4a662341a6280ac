"""What a client asks for, whichever way it came: the parameters of a GraphQL request, checked."""

from dataclasses import dataclass
from typing import Any

from flowtrail.errors import BadUserInput


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A document, the operation to execute of it, and its variables."""

    query: str
    operation_name: str | None
    variables: dict[str, Any] | None

    @classmethod
    def parse(cls, parameters: Any) -> "OperationRequest":
        """Check decoded JSON; raises BadUserInput naming the parameter that is wrong."""
        if not isinstance(parameters, dict):
            raise BadUserInput("the request must be a JSON object; batches are not supported")
        query = parameters.get("query")
        if not isinstance(query, str) or not query.strip():
            raise BadUserInput("query: must be a string with a GraphQL document")
        for name, kind, wanted in (
            ("operationName", str, "a string"),
            ("variables", dict, "an object"),
            ("extensions", dict, "an object"),
        ):
            if not isinstance(parameters.get(name), kind | None):
                raise BadUserInput(f"{name}: must be {wanted}")
        return cls(query, parameters.get("operationName"), parameters.get("variables"))
