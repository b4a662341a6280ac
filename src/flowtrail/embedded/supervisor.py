"""The process that runs PostgreSQL: starts it, again if it is killed, and stops it when the last client has gone.

It is nobody's child, so that it outlives the client that began it. The client hands it the supervisor's lock, taken.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flowtrail.embedded.cluster import Cluster
from flowtrail.embedded.locks import FileLock

_LOOK = 0.5
"""Seconds between looks for clients."""
_STOP_TIMEOUT = 60.0
_ATTEMPTS = 20
"""How often to try, half a second apart, while something of a killed server is still there."""


def spawn(cluster: Cluster, binaries: Path, lock: FileLock) -> None:
    """Start a supervisor that holds `lock` until PostgreSQL has ended; the caller closes its own handle."""
    command = [sys.executable, "-P", "-m", __name__, str(cluster.home), str(binaries), str(lock.descriptor)]
    if cluster.log.exists():
        cluster.log.replace(cluster.home / "log.previous")
    cluster.log.touch(mode=0o600)
    with cluster.log.open("ab") as log:
        subprocess.run(
            command,
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock.descriptor],
        )


class Supervisor:
    """Runs one PostgreSQL for as long as it has clients, or until SIGTERM."""

    def __init__(self, cluster: Cluster, binaries: Path) -> None:
        self._cluster = cluster
        self._binaries = binaries
        self._woken = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Return when PostgreSQL has been stopped, or would not stay."""
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: self._woken.set())
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        self._cluster.make_socket_dir()
        attempts = _ATTEMPTS
        while attempts and not self._is_over():
            # Children of a killed server may hold its shared memory for a moment yet; any other failure is final.
            after_a_kill = self._cluster.was_killed()
            if self._run_server():
                attempts = _ATTEMPTS
                continue
            attempts = attempts - 1 if after_a_kill else 0
        self._cluster.remove_socket_dir()

    def _run_server(self) -> bool:
        """Run it until it ends or nobody needs it any more; tell whether it was ever ready."""
        server = subprocess.Popen(self._command(), preexec_fn=_ends_with_its_parent(), **self._cluster.as_user)
        was_ready = False
        while server.poll() is None and not self._is_over():
            self._woken.wait(_LOOK)
            self._woken.clear()
            was_ready = was_ready or self._cluster.is_ready()
        if server.poll() is None:
            _shut_down(server)
        else:
            time.sleep(_LOOK)
        return was_ready

    def _command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._cluster.socket_dir),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "log_checkpoints": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._binaries / "postgres", "-D", self._cluster.data, *options]

    def _stop(self) -> None:
        self._stopping = True
        self._woken.set()

    def _is_over(self) -> bool:
        """Tell whether to stop. Once no client is left, none can begin any more: the gate stays taken until we end."""
        if self._stopping:
            return True
        gate, clients = FileLock(self._cluster.home / "gate.lock"), FileLock(self._cluster.home / "clients.lock")
        if gate.try_take() and clients.try_take():
            self._stopping = True
            return True
        gate.close()
        clients.close()
        return False


def _shut_down(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # a fast shutdown: sessions end, everything is written down
    try:
        server.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)  # an immediate one: the next start recovers
        server.wait()


def _ends_with_its_parent() -> Callable[[], None] | None:
    """Return what makes a child be told to stop when the supervisor is killed; only Linux has it.

    Elsewhere the server goes on until a client sees that its supervisor is missing (Cluster.stop_stray).
    """
    if sys.platform != "linux":
        return None
    set_parent_death_signal = 1
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(set_parent_death_signal, signal.SIGINT)


def _main(home: str, binaries: str, lock: str) -> None:
    if os.fork():
        os._exit(0)  # the client waits for this process alone, and has no child left
    os.ftruncate(int(lock), 0)
    os.pwrite(int(lock), str(os.getpid()).encode(), 0)
    os.set_inheritable(int(lock), False)
    Supervisor(Cluster.at(Path(home)), Path(binaries)).run()


if __name__ == "__main__":
    _main(*sys.argv[1:])
