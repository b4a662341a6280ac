"""A pooler between the service and PostgreSQL (docs/deployment)."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import live
from recorder import accept, finished, id_of, started

DEPLOYMENT = Path(__file__).parent.parent / "docs" / "deployment" / "README.md"


@asynccontextmanager
async def pgbouncer(dsn: str) -> AsyncIterator[str]:
    """Run pgbouncer in session mode, as docs/deployment says, and yield the URL of the same database behind it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is not installed: CI installs it")
        pytest.skip("pgbouncer is not installed")
    parts = urlsplit(dsn)
    (ignored,) = [
        line.strip() for line in DEPLOYMENT.read_text().splitlines() if line.strip().startswith("ignore_startup_parameters")
    ]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="flowtrail-pgbouncer-"))
    folder.chmod(0o755)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={parse_qs(parts.query)['host'][0]} port=5432 user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"auth_file = {folder / 'users'}\npool_mode = session\n{ignored}\n"
    )
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # pgbouncer refuses to run as root, and PostgreSQL's socket is its user's
        name = next(name for name in ("postgres", "nobody") if _exists(name))
        user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    process = subprocess.Popen([program, str(folder / "pgbouncer.ini")], stderr=subprocess.PIPE, **user)
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.poll() is None, process.communicate()[1]
                await asyncio.sleep(0.05)
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}?sslmode=disable"
    finally:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


async def test_recording_reading_and_following_through_a_pooler(database_url: str, start_service: Any) -> None:
    async with pgbouncer(database_url) as pooled:
        service = await start_service(database_url=pooled, database_listen_url=database_url)
        here = (await service.execute("{ executions { changeCursor } }"))["data"]["executions"]["changeCursor"]
        async with live.socket(service) as client:
            await client.subscribe(after=here)
            begin = started()
            await accept(service, begin)
            assert (await client.event())["kind"] == "STARTED"
            await accept(service, finished(id_of(begin)))
            assert (await client.event())["execution"]["status"] == "FULFILLED"
        answer = await service.execute("{ executions { totalCount } }")
        assert answer["data"]["executions"]["totalCount"] == 1
