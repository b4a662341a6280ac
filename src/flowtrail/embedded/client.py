"""A process's share of the embedded PostgreSQL."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from flowtrail.embedded import supervisor
from flowtrail.embedded.cluster import Cluster
from flowtrail.embedded.locks import FileLock, is_taken, taken
from flowtrail.errors import ConfigurationError

_LOOK = 1.0
"""Seconds between looks for the supervisor."""
_START_TIMEOUT = 300.0
"""Seconds: recovery after a crash may take long."""

_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """A PostgreSQL that runs until `close`, even when its processes are killed; usable in a `with` block."""

    def __init__(self, cluster: Cluster, share: FileLock) -> None:
        self._cluster = cluster
        self._share = share
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._keep_supervised, name="embedded-postgres", daemon=True)
        self._watch.start()

    @classmethod
    def start(cls, data_dir: Path) -> Self:
        """Start or join the server of `data_dir`; see `flowtrail.embedded.start`."""
        try:
            cluster = Cluster.of(data_dir)
            with taken(cluster.home / "gate.lock") as gate:
                share = FileLock(cluster.home / "clients.lock")
                try:
                    share.share()
                    _ensure_running(cluster, gate)
                except BaseException:
                    share.close()
                    raise
        except OSError as error:
            raise ConfigurationError(f"the embedded PostgreSQL can't use {data_dir}: {error}") from error
        return cls(cluster, share)

    @property
    def dsn(self) -> str:
        """A libpq URL of the database, over a Unix socket that only this user and root can reach."""
        return self._cluster.dsn

    def close(self) -> None:
        """Leave the server; the last to leave returns when it has stopped."""
        self._closing.set()
        self._watch.join()
        with self._share, taken(self._cluster.home / "gate.lock"):
            if self._share.try_take():
                _stop(self._cluster)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_supervised(self) -> None:
        while not self._closing.wait(_LOOK):
            try:
                if not is_taken(self._cluster.home / "supervisor.lock"):
                    with taken(self._cluster.home / "gate.lock") as gate:
                        _ensure_running(self._cluster, gate)
            except (ConfigurationError, OSError) as error:
                _log.error("the embedded PostgreSQL does not come back: %s", error)


def _ensure_running(cluster: Cluster, gate: FileLock) -> None:
    """Start a supervisor unless there is one, and wait for the server. The caller holds the gate and a share."""
    spawned = False
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        with FileLock(cluster.home / "supervisor.lock") as lock:
            if lock.try_take():
                if spawned:
                    break
                cluster.stop_stray()
                binaries = cluster.binaries()
                cluster.initialise(binaries, gate)
                supervisor.spawn(cluster, binaries, lock)
                spawned = True
        if cluster.is_ready():
            return
        time.sleep(0.02)
    raise ConfigurationError(f"the embedded PostgreSQL did not start: {_last_words(cluster)}")


def _stop(cluster: Cluster) -> None:
    """Have the supervisor stop the server, and wait for that. The caller holds the gate, and there are no clients."""
    path = cluster.home / "supervisor.lock"
    while is_taken(path):
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(path.read_text()), signal.SIGTERM)
        time.sleep(0.05)
    cluster.stop_stray()


def _last_words(cluster: Cluster) -> str:
    lines = cluster.log.read_text(errors="replace").splitlines()[-5:]
    return " / ".join(lines) or f"see {cluster.log}"
