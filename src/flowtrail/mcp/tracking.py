"""What the author of a server sets, and what every way of tracking (middleware, official SDK, proxy) shares."""

import fnmatch
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from flowtrail.mcp.catalogue import Catalogue, is_generated_name
from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.events import Caller, Origin
from flowtrail.mcp.execution import Called, Execution
from flowtrail.mcp.guard import logger
from flowtrail.mcp.payload import DEFAULT_LIMIT
from flowtrail.mcp.recorder import Recorder, recorder_for
from flowtrail.mcp.redaction import CallRedaction, Hide, Redaction
from flowtrail.mcp.secret_schema import SecretSchema

Identify = Callable[[Any], Caller | Mapping[str, str | None] | str | None]
"""The author's answer to who called, given the request's context."""


_LEAST_PAYLOAD_LIMIT = 1024


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


class TrackingOptions(TypedDict, total=False):
    """What an author may set, with its default where it is left out.

    `url`, `token` and `spool_dir` take the place of FLOWTRAIL_URL, FLOWTRAIL_RECORD_TOKEN and FLOWTRAIL_SPOOL_DIR.
    `preview` (False) marks every call as a preview. `skip` () names tools, or patterns with `*`, that are not recorded.
    `stacks` (False) sends Python tracebacks. `payload_limit` (1 MiB) is in bytes of JSON for each value. `redact_names` ()
    are names of fields to hide beside the default ones; `redact`, given a value's JSON pointer and the value, says whether
    to hide it. `identify`, given the request's context, says who called. `spans` (False) makes nodes of the OpenTelemetry
    spans that begin inside a call.
    """

    url: str
    token: str
    spool_dir: str | Path
    preview: bool
    skip: Iterable[str]
    stacks: bool
    payload_limit: int
    redact_names: Iterable[str]
    redact: Hide
    identify: Identify
    spans: bool


def make_tracker(server: str | None, options: TrackingOptions) -> "Tracker":
    """Return the tracker for an author's settings; raises ValueError for those that make no sense."""
    payload_limit = options.get("payload_limit", DEFAULT_LIMIT)
    if payload_limit < _LEAST_PAYLOAD_LIMIT:
        raise ValueError(f"payload_limit is in bytes and at least {_LEAST_PAYLOAD_LIMIT}")
    if options.get("spans"):
        from flowtrail.mcp.spans import record_spans

        record_spans()
    return Tracker(
        Options(
            configuration=Configuration.from_environment(
                url=options.get("url"), token=options.get("token"), spool_dir=options.get("spool_dir")
            ),
            server=server,
            preview=options.get("preview", False),
            skip=tuple(options.get("skip", ())),
            stacks=options.get("stacks", False),
            payload_limit=payload_limit,
            redaction=Redaction.with_names(options.get("redact_names", ()), options.get("redact")),
            identify=options.get("identify"),
        )
    )


@functools.cache
def _refuse_name(name: str) -> None:
    logger.error(
        "flowtrail records nothing: the server's name %r was made up and will be another at the next start. "
        'Name the server, FastMCP("orders"), or the tracking, ExecutionTracking(server="orders").',
        name,
    )
