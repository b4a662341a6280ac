"""Starts what the demo needs, says where to look, and ends it in the opposite order."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from flowtrail import listening
from flowtrail.app import create_app, socket_options
from flowtrail.demo.traffic import keep_calling
from flowtrail.mcp.proxy import child_environment
from flowtrail.observability import logs
from flowtrail.settings import Settings

_SHOP = [sys.executable, "-m", "flowtrail.demo.shop"]
_GRACEFUL_SECONDS = 2
"""How long requests may take to finish once the demo ends."""
_IMPATIENCE_SECONDS = 3.0
"""One Ctrl-C can arrive twice: from the terminal, and from the program that started us, as `uv run` does."""
QUERY = (
    "{ executions(first: 5) { edges { node { flowName status durationMs initialParamsPreview errorInfo { kind nodeName } } } } }"
)
"""What a newcomer is told to ask."""


class _DemoSettings(Settings):
    """The service's settings, but what the user has set for a service of their own does not count."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def run(port: int) -> None:
    """See flowtrail.demo.run."""
    logs.configure("warning")
    with listening.listener("127.0.0.1", port) as listener, _temporary_folder() as folder:
        asyncio.run(_run(listener, folder))


async def _run(listener: socket.socket, folder: Path) -> None:
    stopped, answered = _stop_signal(), asyncio.Event()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
    _say("Starting PostgreSQL, the service, and a sample MCP server with a client …")
    async with _serving(_DemoSettings(data_dir=folder), listener) as serving:
        environment = child_environment() | {"FLOWTRAIL_URL": url, "FLOWTRAIL_DATA_DIR": str(folder)}
        calling = asyncio.create_task(keep_calling(_SHOP, environment, answered))
        ends = [asyncio.create_task(stopped.wait()), calling, serving]
        # Not before there is something to see.
        await asyncio.wait([asyncio.create_task(answered.wait()), *ends], return_when=asyncio.FIRST_COMPLETED)
        if answered.is_set():
            _say(_welcome(url, folder))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        _say("Stopping …")
        calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling


def _welcome(url: str, folder: Path) -> str:
    command = ["curl", "-s", url, "-H", "content-type: application/json", "-d", json.dumps({"query": QUERY})]
    return f"""
An MCP client keeps calling the flows of the sample MCP server "shop". Flowtrail records each call.

  Look       {url.removesuffix("graphql")}
  GraphQL    {url}
  Ask        {shlex.join(command)}
  The code   {Path(__file__).with_name("shop.py")}

The record is in {folder} and is removed at the end. Ctrl-C ends everything.
"""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flowtrail-demo-") as name:
        folder = Path(name)
        if os.name == "posix" and os.geteuid() == 0:
            folder.chmod(0o711)  # PostgreSQL then runs as another user, who must be able to pass through
        yield folder


class _Server(uvicorn.Server):
    """A server that leaves signals to us: the MCP client must end before it does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(settings: Settings, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Run the service for the length of the block; what keeps it from starting is raised as it is, not logged by uvicorn."""
    app = create_app(settings)
    options = socket_options(settings)
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=_GRACEFUL_SECONDS, **options)
    async with app.router.lifespan_context(app):
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield serving
        finally:
            server.should_exit = True
            await serving


def _stop_signal() -> asyncio.Event:
    """Return an event that the first signal to stop sets; one that comes _IMPATIENCE_SECONDS later ends the process at once."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            loop.call_later(_IMPATIENCE_SECONDS, give_signals_back)

    def give_signals_back() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    return stopped
