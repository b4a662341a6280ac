"""GraphQL over HTTP, as its specification's own audits see it: every MUST, SHOULD and MAY (spec 2.10)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import npm

HERE = Path(__file__).parent


async def test_every_audit_is_passed(start_service: Any) -> None:
    folder = npm.installed(HERE)
    service = await start_service(graphql_get=True)
    process = await asyncio.create_subprocess_exec(
        "node", str(folder / "audits.mjs"), service.graphql_url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found = json.loads(output)
    assert found["missed"] == []
    assert found["audits"] > 50
