"""`node` and `flow_node`: the steps of a flow, marked by its author (spec 4.4). Outside a tracked call they do nothing."""

import asyncio
import functools
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from flowtrail.mcp.execution import Frame, current_frame, running_frame
from flowtrail.mcp.guard import Guarded

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_TYPE = "step"

_NOT_WORD = re.compile(r"[^\w]+")


class node:  # noqa: N801 (reads as a verb: `async with node("Fetch")`)
    """A step of the flow, as `async with node(…) as n` or `with node(…) as n`; what is assigned to `n.output` is recorded
    as its output.

    A node that raises is marked as failed, and the exception goes on its way. `id` is what failures are grouped by; it is
    made of the name unless given. Nodes inside it, in the same task or in those it starts, have it as their parent.
    """

    def __init__(self, name: str, *, input: Any = None, id: str | None = None, type: str = DEFAULT_TYPE) -> None:  # noqa: A002
        self.output: Any = None
        self._name = name
        self._id = id
        self._type = type
        self._input = input
        self._frame: Frame | None = None
        self._token: Token[Frame | None] | None = None

    def __enter__(self) -> Self:
        with Guarded("recording the start of a node"):
            frame = running_frame()
            if frame is not None:
                node_id = self._id or _NOT_WORD.sub("-", self._name.lower()).strip("-") or "node"
                position = frame.execution.start_node(node_id, self._name, self._type, self._input, frame.position)
                if position is not None:
                    self._frame = Frame(frame.execution, position)
                    self._token = current_frame.set(self._frame)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with Guarded("recording the end of a node"):
            if self._token is not None:
                token, self._token = self._token, None
                # A generator's cleanup leaves in another context than it entered in.
                with suppress(ValueError):
                    current_frame.reset(token)
            if self._frame is not None and self._frame.position is not None:
                self._frame.execution.finish_node(self._frame.position, self.output, None if error is None else describe(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


def describe(error: BaseException) -> str:
    """Return an exception as `Type: message`; that something was cancelled, without the words of an event loop for it."""
    if isinstance(error, asyncio.CancelledError):
        return "Cancelled"
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@overload
def flow_node(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def flow_node(
    name: str | None = None, /, *, id: str | None = None, type: str = DEFAULT_TYPE
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def flow_node(function: Any = None, /, *, id: str | None = None, type: str = DEFAULT_TYPE) -> Any:  # noqa: A002
    """Make every call of a function, plain or async, a node with its arguments as input and its return value as output.

    `@flow_node`, `@flow_node("Fetch orders")` or `@flow_node("Fetch orders", type="http")`; the name is the function's
    unless given.
    """
    if callable(function):
        return _wrapped(function, None, id, type)
    return lambda inner: _wrapped(inner, function, id, type)


def _wrapped(function: Callable[..., Any], name: str | None, node_id: str | None, node_type: str) -> Callable[..., Any]:
    shown = name or function.__name__.replace("_", " ").strip().capitalize()
    node_id = node_id or (None if name else function.__name__)
    signature = inspect.signature(function)

    def step(args: tuple[Any, ...], kwargs: dict[str, Any]) -> node:
        return node(shown, input=_arguments(signature, args, kwargs) if running_frame() else None, id=node_id, type=node_type)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with step(args, kwargs) as running:
                running.output = result = await function(*args, **kwargs)
            return result

        return run_async

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with step(args, kwargs) as running:
            running.output = result = function(*args, **kwargs)
        return result

    return run


def _arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return {}
    return {name: value for name, value in bound.items() if name not in ("self", "cls") and type(value).__name__ != "Context"}
