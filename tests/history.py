"""What tests of the wrapper share: tracking that records to a running service, and what is recorded there."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from flowtrail.mcp import ExecutionTracking
from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.recorder import flush_recorders
from flowtrail.mcp.spool_commands import retry_dead_letters, spool_status
from support import Service

USUAL = """
  uuid server flowToolName status startedAt endedAt durationMs initialParams initialParamsPreview result isPreview nodeCount
  errorInfo { kind message nodeId nodeName stack }
  nodeExecutions { position parentPosition nodeId nodeName nodeType status inputData outputData error }
"""


@dataclass(frozen=True)
class History:
    """The service, and tracking that records to it."""

    service: Service
    spool_root: Path

    def tracking(self, **options: Any) -> ExecutionTracking:
        """Middleware that records to the service; `options` are ExecutionTracking's."""
        where: dict[str, Any] = {"url": self.service.graphql_url, "token": self.service.record_token, "spool_dir": self.spool_root}
        return ExecutionTracking(**(where | options))

    def environment(self) -> dict[str, str]:
        """What a process of its own is given to record to the service."""
        return os.environ | {
            "FLOWTRAIL_URL": self.service.graphql_url,
            "FLOWTRAIL_RECORD_TOKEN": self.service.record_token,
            "FLOWTRAIL_SPOOL_DIR": str(self.spool_root),
        }

    async def flush(self) -> None:
        """Have everything arrive that was recorded by this process, or by others that have ended."""
        assert await anyio.to_thread.run_sync(flush_recorders, 60.0)
        configuration = Configuration.from_environment(
            url=self.service.graphql_url, token=self.service.record_token, spool_dir=self.spool_root
        )
        retried = await anyio.to_thread.run_sync(retry_dead_letters, configuration)
        assert retried.problems == ()
        refused = [letter for status in spool_status(configuration) for letter in status.dead_letters]
        assert refused == []

    async def executions(self, fields: str = "", **filters: Any) -> list[dict[str, Any]]:
        """Return what is recorded, oldest first, with the usual fields and `fields`."""
        await self.flush()
        answer = await self.service.execute(
            "query ($filter: ExecutionFilter) { executions(first: 100, filter: $filter) "
            f"{{ edges {{ node {{ {USUAL} {fields} }} }} }} }}",
            {"filter": filters or None},
        )
        assert "errors" not in answer, answer
        return [edge["node"] for edge in reversed(answer["data"]["executions"]["edges"])]

    async def execution(self, fields: str = "") -> dict[str, Any]:
        """Return the only execution that is recorded."""
        [only] = await self.executions(fields)
        return only
