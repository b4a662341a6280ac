"""The real `flowtrail serve` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RECORD_TOKEN = "record-token-of-the-tests"


@dataclass
class Process:
    """A running `flowtrail serve`. What it writes to standard error is kept in `log`."""

    process: asyncio.subprocess.Process
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def serving(dsn: str, folder: Path, *arguments: str, ulimit: str | None = None, **environment: str) -> AsyncIterator[Process]:
    """A process that serves the database `dsn` on a free port; killed at the end if it still runs.

    `ulimit` is what the shell's command of that name is told before, such as `-n 160`: no more files may be open then.
    """
    folder.mkdir(exist_ok=True)
    log = folder / "stderr"
    limited = () if ulimit is None else ("sh", "-c", 'ulimit $0 && exec "$@"', ulimit)
    serve = (sys.executable, "-c", "from flowtrail.cli import main; main()", "serve", "--port", "0", "--data-dir", str(folder))
    variables = {"DATABASE_URL": dsn, "FLOWTRAIL_RECORD_TOKEN": RECORD_TOKEN, "FLOWTRAIL_LOG_FORMAT": "json"}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *limited, *serve, *arguments, env=os.environ | variables | environment, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            said = (await process.stdout.readuntil(b"/graphql")).decode()
            match = re.search(r"http://\S+:\d+", said)
            assert match, said
            url = match[0]
            async with httpx2.AsyncClient() as client:
                while True:
                    with suppress(httpx2.TransportError):
                        if (await client.get(f"{url}/readyz")).status_code == 200:
                            break
                    await asyncio.sleep(0.05)
        yield Process(process, url, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
