"""The server behind the proxy: a process that speaks over its standard streams.

`Upstream` is what the relay needs of a server; `upstream_http.py` has the other kind.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Protocol

from flowtrail.errors import ConfigurationError

Deliver = Callable[[bytes], None]
"""Takes a message from the server, one line without its end."""

_EXIT_SECONDS = 5.0


class Upstream(Protocol):
    """A server: messages go in by `send`, and come out through `deliver`."""

    name: str
    """What to call the server until it says its own name."""
    deliver: Deliver
    """Set before the first `send`: a server may answer before `run` has had its turn."""

    def send(self, message: bytes) -> None:
        """Give the server a message; does nothing when the server is gone."""

    def run(self) -> int:
        """Deliver messages until the server ends, and return the exit code to end with."""

    def close(self) -> None:
        """Tell the server that the client is gone."""


class ProcessUpstream:
    """A child process. It gets the whole environment but FLOWTRAIL_…, and its standard error is ours."""

    deliver: Deliver

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        """Start the server; raises ConfigurationError when there is no such command."""
        executable = shutil.which(command[0])
        if executable is None:
            raise ConfigurationError(f"there is no command {command[0]!r}")
        self.name = os.path.basename(command[0])  # noqa: PTH119 (a command, with either system's separators)
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [executable, *command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: value for name, value in environment.items() if not name.startswith("FLOWTRAIL_")},
            )
        except OSError as error:
            raise ConfigurationError(f"{command[0]!r} does not start: {error}") from error

    def send(self, message: bytes) -> None:
        """Give the server a message; does nothing when the server is gone."""
        stdin = self._process.stdin
        with self._lock:
            try:
                if stdin is not None:
                    stdin.write(message + b"\n")
                    stdin.flush()
            except (OSError, ValueError):
                pass  # its end is noticed where its messages are read

    def run(self) -> int:
        """Deliver messages until the server ends, and return its exit code."""
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self.deliver(line.rstrip(b"\r\n"))
        code = self._process.wait()
        # A child that a signal ended looks to our parent as if the signal had ended us.
        return 128 - code if code < 0 else code

    def close(self) -> None:
        """Tell the server that the client is gone: its input ends, and if it stays, it is stopped."""
        with self._lock:
            try:
                if self._process.stdin is not None:
                    self._process.stdin.close()
            except OSError:
                pass
        threading.Thread(target=self._stop_if_it_stays, daemon=True).start()

    def _stop_if_it_stays(self) -> None:
        for stop in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                stop()
            else:
                return

    def pass_signals_on(self) -> None:
        """Have the signals that would end us end the server, whose end then ends us."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self._process.send_signal(number)

        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if sys.platform != "win32" and (number := getattr(signal, name, None)) is not None:
                signal.signal(number, pass_on)
