"""What a client learns of an error: expected ones with their code, everything else masked and logged under an id (spec 2.10)."""

import secrets

import structlog
from graphql import GraphQLError

from flowtrail.errors import BadUserInput, FlowtrailError

log = structlog.get_logger()

_MAX_MESSAGE = 1000
"""Characters of a message about the document or its values."""


def coded(error: GraphQLError) -> GraphQLError:
    """Return the error as the client sees it; logs what is unexpected, once, with the id that the client gets too."""
    original = _root_of(error)
    if error.extensions and "code" in error.extensions:
        return error
    if isinstance(original, FlowtrailError):
        return _with(error, original.message, code=original.code)
    if original is None:
        message = error.message
        if len(message) > _MAX_MESSAGE:
            message = f"{message[:_MAX_MESSAGE]}…"  # it may quote a value that the client sent
        return _with(error, message, code=BadUserInput.code)
    return masked(original, error)


def masked(original: Exception, error: GraphQLError | None = None) -> GraphQLError:
    """Log an unexpected error under a new id and return what the client may know: the id, and where `error` says it happened."""
    error_id = secrets.token_hex(8)
    error = error or GraphQLError("")
    log.error("unexpected error", error_id=error_id, path=error.path, exc_info=original)
    return _with(error, f"Something went wrong on the server; its log tells more under {error_id}.", code="INTERNAL", id=error_id)


def _root_of(error: GraphQLError) -> Exception | None:
    """What was raised, below the GraphQLErrors that were wrapped around it; None for an error of the document or its values."""
    original: Exception | None = error
    while isinstance(original, GraphQLError):
        original = original.original_error
    return original


def _with(error: GraphQLError, message: str, **extensions: str) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
