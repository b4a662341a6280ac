"""What the author of a server sets, and what every way of tracking (middleware, official SDK, proxy) shares."""

import fnmatch
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowtrail.mcp.catalogue import Catalogue, is_generated_name
from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.events import Caller, Origin
from flowtrail.mcp.execution import Called, Execution
from flowtrail.mcp.guard import logger
from flowtrail.mcp.payload import DEFAULT_LIMIT
from flowtrail.mcp.recorder import Recorder, recorder_for
from flowtrail.mcp.redaction import CallRedaction, Redaction
from flowtrail.mcp.secret_schema import SecretSchema

Identify = Callable[[Any], Caller | Mapping[str, str | None] | str | None]
"""The author's answer to who called, given the request's context."""


@dataclass(frozen=True)
class Options:
    """The author's settings, alike for every way of tracking."""

    configuration: Configuration = field(default_factory=Configuration.from_environment)
    server: str | None = None
    preview: bool = False
    skip: tuple[str, ...] = ()
    stacks: bool = False
    payload_limit: int = DEFAULT_LIMIT
    redaction: Redaction = field(default_factory=Redaction)
    identify: Identify | None = None

    def skips(self, tool_name: str) -> bool:
        """Return whether calls of a tool are not recorded: all of them, or those whose name matches a pattern of `skip`."""
        return self.configuration.disabled or any(fnmatch.fnmatchcase(tool_name, pattern) for pattern in self.skip)


class Tracker:
    """Begins executions and knows the tools of each server. The recorder is looked up for every call, because a fork
    changes it.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._catalogues: dict[str, tuple[Recorder, Catalogue]] = {}
        if not options.configuration.disabled:
            self.recorder.start_if_leftovers()

    @property
    def recorder(self) -> Recorder:
        """This process's recorder."""
        return recorder_for(self.options.configuration)

    def server_name(self, offered: str) -> str | None:
        """Return the name to record under: the author's, else the server's own; None, said once, when that is made up
        (spec 4.8).
        """
        name = self.options.server or offered
        if self.options.server is None and is_generated_name(name):
            _refuse_name(name)
            return None
        return name

    def catalogue(self, server: str) -> Catalogue:
        """Return the tools of a server as this process knows them."""
        recorder = self.recorder
        known = self._catalogues.get(server)
        if known is None or known[0] is not recorder:
            known = self._catalogues[server] = (recorder, Catalogue(recorder, server))
        return known[1]

    def begin(
        self,
        server: str,
        tool_name: str,
        params: Mapping[str, Any],
        origin: Origin,
        *,
        schema: SecretSchema | None,
        tool_exists: bool,
        parent_id: str | None = None,
    ) -> Execution:
        """Record the start of a call."""
        redaction = CallRedaction(self.options.redaction, schema) if schema is not None else CallRedaction(self.options.redaction)
        called = Called(server, tool_name, tool_exists, redaction, self.options.payload_limit, self.options.stacks)
        return Execution(self.recorder, called, params, origin, parent_id)


def make_options(
    *,
    server: str | None,
    url: str | None,
    token: str | None,
    spool_dir: Any,
    preview: bool,
    skip: Iterable[str],
    stacks: bool,
    payload_limit: int,
    redact_names: Iterable[str],
    redact: Callable[[str, Any], bool] | None,
    identify: Identify | None,
) -> Options:
    """Return the settings that an author gave; raises ValueError for those that make no sense."""
    if payload_limit < 1024:
        raise ValueError("payload_limit is in bytes and at least 1024")
    return Options(
        configuration=Configuration.from_environment(url=url, token=token, spool_dir=spool_dir),
        server=server,
        preview=preview,
        skip=tuple(skip),
        stacks=stacks,
        payload_limit=payload_limit,
        redaction=Redaction.with_names(redact_names, redact),
        identify=identify,
    )


@functools.cache
def _refuse_name(name: str) -> None:
    logger.error(
        "flowtrail records nothing: the server's name %r was made up and will be another at the next start. "
        'Name the server, FastMCP("orders"), or the tracking, ExecutionTracking(server="orders").',
        name,
    )
