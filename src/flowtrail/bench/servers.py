"""Servers as processes of their own, with the CPU time they use."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowtrail.bench.client import fetch, get, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

TOKEN = "record-token-of-the-bench"  # noqa: S105 (of a service that lives as long as the measurement)
_START_SECONDS = 60
_FLOWTRAIL = (sys.executable, "-c", "from flowtrail.cli import main; main()", "serve", "--port", "0", "--data-dir")
_BARE = (sys.executable, "-m", "flowtrail.bench.bare")


def _same(data: Any) -> Any:
    return data


@dataclass(frozen=True)
class Speech:
    """How to ask a server for the same things in another way."""

    documents: Mapping[str, str] = field(default_factory=dict)
    """By kind, a GraphQL document in place of the usual one; its variables are called alike."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """By kind, what to GET instead, with the names of variables in braces."""
    understood: Callable[[Any], Any] = _same
    """Turns the server's data into what the usual document gives."""
    path: str = "/graphql"
    token: str | None = None


@dataclass(frozen=True)
class Server:
    """A running server."""

    name: str
    port: int
    process: asyncio.subprocess.Process
    speech: Speech

    @property
    def cpu(self) -> float:
        """The CPU seconds that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def request(self, kind: str, document: str, variables: Mapping[str, Any]) -> bytes:
        """Return a request for this server, as it goes over the wire."""
        speech = self.speech
        if kind in speech.paths:
            return get(speech.paths[kind].format(**variables))
        body = json.dumps({"query": speech.documents.get(kind, document), "variables": variables}).encode()
        return post(speech.path, body, speech.token)

    async def ask(self, kind: str, document: str, variables: Mapping[str, Any]) -> Any:
        """Send one request and return its data as the usual document gives them; raises RuntimeError with what went wrong."""
        status, body = await fetch(self.port, self.request(kind, document, variables))
        content = json.loads(body)
        if status != 200 or "errors" in content:
            raise RuntimeError(f"{self.name} could not answer: {content}")
        return self.speech.understood(content.get("data", content))


@asynccontextmanager
async def flowtrail(dsn: str, folder: Path, name: str = "flowtrail", **environment: str) -> AsyncIterator[Server]:
    """`flowtrail serve` on a free port, with the settings it has by itself and those of `environment`."""
    variables = {"FLOWTRAIL_RECORD_TOKEN": TOKEN, **environment}
    log = folder / f"{name}.log"
    async with started(name, (*_FLOWTRAIL, str(folder)), dsn, log, Speech(token=TOKEN), variables) as server:
        yield server


@asynccontextmanager
async def bare(dsn: str, folder: Path) -> AsyncIterator[Server]:
    """The least a Python service can do for the same answers (bare.py)."""
    speech = Speech(paths={"page": "/page/{flow}", "deep-page": "/deep-page/{after}", "details": "/details/{uuid}"})
    async with started("bare", _BARE, dsn, folder / "bare.log", speech) as server:
        yield server


@asynccontextmanager
async def started(
    name: str, command: Sequence[str], dsn: str, log: Path, speech: Speech, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """A command that prints its address, `http://127.0.0.1:PORT`, and answers GET / with anything; killed at the end.

    It finds the database in DATABASE_URL. Raises RuntimeError with its log when it does not start.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FLOWTRAIL_", "DATABASE_", "OTEL_"))}
    variables = inherited | {"DATABASE_URL": dsn} | dict(environment or {})
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(*command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=errors)
    try:
        yield Server(name, await _port(process, log), process, speech)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _port(process: asyncio.subprocess.Process, log: Path) -> int:
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while line := await process.stdout.readline():
                if match := re.search(rb"http://127\.0\.0\.1:(\d+)", line):
                    await _answers(int(match[1]))
                    return int(match[1])
    except TimeoutError:
        pass
    raise RuntimeError(f"a server did not start: {await asyncio.to_thread(log.read_text)}")


async def _answers(port: int) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            await fetch(port, get("/"))
            return
        await asyncio.sleep(0.05)
