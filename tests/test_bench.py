"""`flowtrail bench` as a user runs it: what it measures and prints. How fast anything is, no test asks."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from flowtrail.bench.postmaster import Postmaster
from support import Postgres

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bench reads CPU times from /proc")

FLOWTRAIL = str(Path(sys.executable).with_name("flowtrail"))
SMALL = ("--executions", "2000", "--flows", "5", "--seconds", "0.1", "--concurrency", "1,3", "--subscribers", "3")
ALL_READERS = {"flowtrail", "flowtrail, not compiled", "bare"}
Rounds = dict[tuple[str, int, str], list[dict[str, Any]]]


def run(command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run([FLOWTRAIL, command, *arguments], env=variables, capture_output=True, text=True, check=False)


def measured(dsn: str, only: str, rounds: int = 1) -> Rounds:
    """The rounds of some areas, by what was done, how much of it at a time, and the subject."""
    done = run("bench", *SMALL, "--only", only, "--rounds", str(rounds), "--json", DATABASE_URL=dsn)
    assert (done.returncode, done.stderr) == (0, "")
    found = [one for area in json.loads(done.stdout)["areas"] for one in area["measured"]]
    return {(one["kind"], one["concurrency"], one["subject"]): one["rounds"] for one in found}


async def test_reading_is_measured_in_every_combination(postgres: Postgres) -> None:
    subjects = {"page": ALL_READERS, "deep-page": ALL_READERS, "details": ALL_READERS}
    subjects |= {kind: {"flowtrail"} for kind in ("totals", "page-cursors", "statistics")}
    async with postgres.fresh_database() as dsn:
        found = measured(dsn, "pages,details,counts")
        await assert_whole(dsn)
        again = run("bench", *SMALL, "--only", "counts", DATABASE_URL=dsn)
    assert found.keys() == {(kind, number, subject) for kind in subjects for number in (1, 3) for subject in subjects[kind]}
    for rounds in found.values():
        assert len(rounds) == 1
        assert all(each["count"] > 0 and each["seconds"] > 0 and each["cpu"] >= 0 and each["database_cpu"] >= 0 for each in rounds)
        assert all(0 < each["p50"] <= each["p99"] for each in rounds)
    assert again.returncode == 1, "somebody's record is not measured upon"
    assert again.stderr == "flowtrail: this database has executions already: name an empty one in DATABASE_URL, or none\n"


async def test_cpu_time_of_postgresql_never_runs_backwards(postgres: Postgres) -> None:
    """What a connection used is counted once, also while the connection ends."""
    postmaster = await Postmaster.of(postgres.dsn)
    assert postmaster is not None

    found = []

    def look(until: float) -> None:
        while time.perf_counter() < until:
            found.append(postmaster.cpu)

    async def come_and_go(until: float) -> None:
        while time.perf_counter() < until:
            connection = await asyncpg.connect(postgres.dsn)
            await connection.fetchval("SELECT count(*) FROM generate_series(1, 200000)")
            await connection.close()

    until = time.perf_counter() + 2
    await asyncio.gather(asyncio.to_thread(look, until), *(come_and_go(until) for _ in range(4)))
    assert found == sorted(found)
    assert found[-1] > found[0]


async def assert_whole(dsn: str) -> None:
    """Every execution that was asked for is there, with what belongs to it, and the counts know of it."""
    connection = await asyncpg.connect(dsn)
    flows = await connection.fetch("SELECT flow_id, count(*) FROM execution GROUP BY flow_id")
    payloads = await connection.fetchval("SELECT count(*) FROM execution JOIN execution_payload ON execution_id = id")
    nodes = await connection.fetch("SELECT count(*) FROM node_execution GROUP BY execution_id")
    await connection.close()
    assert [count for _, count in flows] == [400] * 5
    assert payloads == 2000
    assert [count for (count,) in nodes] == [10] * 100
    assert run("recount", "--dry-run", DATABASE_URL=dsn).stdout == "All counts are right.\n"


async def test_recording_is_measured_beside_copy_and_the_statements_alone(postgres: Postgres) -> None:
    async with postgres.fresh_database() as dsn:
        found = measured(dsn, "recording")
        connection = await asyncpg.connect(dsn)
        left = await connection.fetchval("SELECT count(*) FROM execution")
        await connection.close()
    kinds, subjects = {"many flows", "one hot flow"}, {"flowtrail", "SQL alone", "COPY"}
    assert found.keys() == {(kind, number, subject) for kind in kinds for number in (1, 8) for subject in subjects}
    # Each way wrote the same executions, and made room for the next.
    assert {each["count"] for rounds in found.values() for each in rounds} == {640}
    assert left == 2000


async def test_fan_out_counts_every_message_of_every_subscriber(postgres: Postgres) -> None:
    async with postgres.fresh_database() as dsn:
        found = measured(dsn, "fan-out", rounds=2)
    assert [[each["count"] for each in rounds] for rounds in found.values()] == [[3 * 240, 3 * 240]]


def test_without_a_database_it_brings_its_own_and_prints_tables(tmp_path: Path) -> None:
    done = run("bench", *SMALL, "--only", "details", "--rounds", "2", TMPDIR=str(tmp_path), DATABASE_URL="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Details of an execution with 10 nodes")
    assert "CPU ÷ bare" in done.stdout
    # A median, with the least and the most.
    assert re.search(r"^details +1 +flowtrail +[\d.]+ \([\d.]+–[\d.]+\)", done.stdout, re.MULTILINE), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--only", "pages,speed"), "--only: some of pages,details,counts,recording,fan-out, not 'pages,speed'"),
        (("--concurrency", "1,many"), "--concurrency: numbers separated by commas, as in 1,32, not '1,many'"),
        (("--executions", "10"), "--executions: at least 1000"),
    ],
)
def test_wrong_options_are_told(arguments: tuple[str, ...], complaint: str) -> None:
    done = run("bench", *arguments)
    assert (done.returncode, done.stderr) == (2, f"flowtrail: {complaint}\n")


def test_help_has_an_example() -> None:
    assert "flowtrail bench --executions" in run("bench", "--help").stdout.partition("Example:")[2]
