"""`flowtrail serve`, `flowtrail demo` and `flowtrail export-schema`."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import Port, PositiveInt

from flowtrail.cli import needs
from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from flowtrail.settings import Settings

DataDir = Annotated[Path | None, Parameter(show_default=False)]
_SHUTDOWN_TIMEOUT = 10
"""Seconds that requests under way get to finish."""
_SWITCH_SECONDS = 0.0002
"""For which the event loop waits at most when a thread runs Python code (graphql/workshop.py); it begins with 0.005."""
_COLLECT_AFTER = (3_000, 1, 1000)
"""Containers made and still alive when the garbage collector looks at them, which takes two milliseconds; after how many such looks
it looks at those of before too, and after how many of these at all. It begins with 700, 10 and 10."""


def serve(*, host: str = "127.0.0.1", port: Port = 8000, data_dir: DataDir = None, workers: PositiveInt = 1) -> None:
    """Run the service: GraphQL at /graphql.

    Without DATABASE_URL it keeps its record in an embedded PostgreSQL, which it starts and migrates. On any address but
    this machine's own it starts only when readers need a token.

    Example: `DATABASE_URL=postgresql://flowtrail@db/flowtrail flowtrail serve --port 8080 --workers 4`

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 takes any free one.
    data_dir
        The folder of the embedded database and the recorder token, instead of FLOWTRAIL_DATA_DIR or this user's own.
    workers
        The number of processes that answer requests.
    """
    needs.service("serve")
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from flowtrail import admission, listening, storage
    from flowtrail.app import create_app, socket_options
    from flowtrail.settings import Settings

    # Once it has stopped the server raises the signal again: what was opened here must be closed before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = Settings.load(data_dir=data_dir)
    _observe(settings)
    with storage.located(settings), listening.listener(host, port) as listener, _metrics_shared(workers):
        listener.set_inheritable(True)
        admission.raise_file_limit()
        asyncio.run(_check(settings, host))
        os.environ["FLOWTRAIL_DATA_DIR"] = str(settings.data_dir)  # for the workers
        config = uvicorn.Config(
            _lasting(create_app(settings)) if workers == 1 else f"{__name__}:worker_app",
            factory=workers > 1,
            workers=workers,
            log_config=None,
            access_log=False,
            **socket_options(settings),
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
        _welcome(settings, host, listener.getsockname()[1])
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, sockets=[listener]).run()


def worker_app() -> FastAPI:
    """The application of one of several worker processes, with the settings of the environment."""
    from flowtrail.app import create_app
    from flowtrail.settings import Settings

    settings = Settings.load()
    _observe(settings)
    return _lasting(create_app(settings))


def _observe(settings: Settings) -> None:
    from flowtrail.observability import logs, traces

    logs.configure(settings.log_level, settings.log_format)
    traces.configure()


@contextmanager
def _metrics_shared(workers: int) -> Iterator[None]:
    """With several workers, a folder in which they add up their metrics: whichever is asked answers for all."""
    if workers == 1:
        yield
        return
    from flowtrail.observability import metrics

    with tempfile.TemporaryDirectory(prefix="flowtrail-metrics-") as folder:
        metrics.share(Path(folder))
        yield


def _lasting(app: FastAPI) -> FastAPI:
    """Tell the garbage collector that what was loaded stays: looking at all of it held up every subscriber for up to a second.

    And that it need not look so often, since nothing much is left for it, but soon at what the last look left, or that grows until
    to look at it takes fifty milliseconds. And that threads take turns more often.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)
    return app


def demo(*, port: Port = 8000) -> None:
    """Show Flowtrail at work: the service, a sample MCP server, and a client that keeps calling its flows.

    Everything is kept in a temporary folder and gone when you press Ctrl-C.

    Example: `flowtrail demo --port 8080`

    Parameters
    ----------
    port
        The port to listen on, on 127.0.0.1; 0 takes any free one.
    """
    needs.service("demo")
    from flowtrail import demo as demonstration

    demonstration.run(port)


def export_schema() -> None:
    """Print the GraphQL schema.

    Example: `flowtrail export-schema > schema.graphql`
    """
    needs.service("export-schema")
    from flowtrail.graphql.schema import export

    print(export(), end="")


async def _check(settings: Settings, host: str) -> None:
    """Raise, before anything listens, what would keep the service from starting or make it unsafe (spec 6.3)."""
    from flowtrail import auth, storage

    async with storage.opened(settings) as database:
        access = auth.Access(database, settings)
        is_open = (await access.viewer(None)).can_read
        await access.close()
        if is_open and not _is_loopback(host):
            raise ConfigurationError(
                f"on {host} anyone could read the record: set FLOWTRAIL_READ_TOKEN, make a reader's token with "
                "`flowtrail token create NAME --scope read`, or name an OpenID provider in FLOWTRAIL_OIDC_ISSUER; "
                "or listen on 127.0.0.1"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _welcome(settings: Settings, host: str, port: int) -> None:
    from flowtrail.record_token import FILE_NAME

    shown = f"[{host}]" if ":" in host else host
    tokens = "FLOWTRAIL_RECORD_TOKEN" if settings.record_token else str(settings.data_dir / FILE_NAME)
    database = "DATABASE_URL" if settings.database_url else f"embedded, in {settings.data_dir}"
    lines = (
        f"GraphQL     http://{shown}:{port}/graphql",
        f"Page        http://{shown}:{port}/",
        f"Database    {database}",
        f"Recorders   use the token of {tokens}",
    )
    print("\n".join(lines), flush=True)
