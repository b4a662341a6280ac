"""Commands as a user runs them: processes of their own, in a group that is interrupted as a whole."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_SECONDS = 120
"""After which a wait has failed; what is waited for takes a few."""


@dataclass(frozen=True)
class Running:
    """A process that has printed what was waited for."""

    printed: str

    def found(self, pattern: str) -> str:
        """Return the first group of `pattern` in what was printed."""
        match = re.search(pattern, self.printed)
        assert match, self.printed
        return match[1]


@contextmanager
def running(
    command: Sequence[str], *, until: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Running]:
    """Start a command, wait until it has printed a line with `until`, and interrupt it at the end as Ctrl-C does."""
    # A file, not a pipe: a pipe that nobody reads would stop the command once it is full.
    with (
        tempfile.NamedTemporaryFile() as output,
        subprocess.Popen(command, stdout=output, env=env, cwd=cwd, start_new_session=True) as process,
    ):
        try:
            yield Running(_printed(process, Path(output.name), until))
        finally:
            _end(process)


def _printed(process: subprocess.Popen[bytes], output: Path, until: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        has_ended = process.poll() is not None
        printed, _, unfinished = output.read_text(encoding="utf-8").rpartition("\n")
        if until in printed:
            return f"{printed}\n"
        assert not has_ended, f"it ended without saying {until!r}:\n{printed}{unfinished}"
        assert time.monotonic() < deadline, f"it has not said {until!r}:\n{printed}{unfinished}"
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the whole group; what does not end is killed, and that is an error."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        assert number is signal.SIGINT, "it had to be killed"
        return
