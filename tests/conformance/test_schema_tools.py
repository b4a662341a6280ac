"""The schema as tools of others judge it: Relay's compiler, and the linters' rules for conventions and for Relay."""

import shutil
import subprocess
from pathlib import Path

import pytest

import npm

HERE = Path(__file__).parent
SCHEMA = HERE.parents[1] / "schema.graphql"
# Without alphabetical order, since fields are in the order they are read, nor a description for each name that says it all.
LINTED = (
    "defined-types-are-used",
    "deprecations-have-a-reason",
    "descriptions-are-capitalized",
    "enum-values-all-caps",
    "fields-are-camel-cased",
    "input-object-values-are-camel-cased",
    "relay-connection-arguments-spec",
    "relay-connection-types-spec",
    "relay-page-info-spec",
    "types-are-capitalized",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the tools, their settings and the schema, of this test's own."""
    tools = npm.installed(HERE)
    for name in ("relay.config.json", "eslint.config.mjs", "package.json"):
        shutil.copy(tools / name, tmp_path)
    shutil.copytree(tools / "relay", tmp_path / "relay")
    shutil.copy(SCHEMA, tmp_path)
    (tmp_path / "node_modules").symlink_to(tools / "node_modules")
    return tmp_path


def run(project: Path, tool: str, *arguments: str) -> None:
    """Run a tool; raises AssertionError with what it says when it finds something."""
    done = subprocess.run(
        [project / "node_modules" / ".bin" / tool, *arguments], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_application_on_relay_compiles(project: Path) -> None:
    run(project, "relay-compiler", "relay.config.json")
    generated = {path.name for path in (project / "relay" / "__generated__").iterdir()}
    assert {"ExecutionsQuery.graphql.js", "ExecutionsPageQuery.graphql.js", "ExecutionsRowQuery.graphql.js"} <= generated


def test_the_schema_follows_the_conventions(project: Path) -> None:
    run(project, "graphql-schema-linter", "--rules", ",".join(LINTED), "schema.graphql")


def test_the_schema_follows_the_rules_of_relay(project: Path) -> None:
    run(project, "eslint", "schema.graphql")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("relay-compiler", ["relay.config.json"]),
        ("graphql-schema-linter", ["--rules", ",".join(LINTED), "schema.graphql"]),
        ("eslint", ["schema.graphql"]),
    ],
)
def test_the_tools_would_find_what_is_wrong(project: Path, tool: str, arguments: list[str]) -> None:
    schema = (project / "schema.graphql").read_text()
    (project / "schema.graphql").write_text(schema.replace("hasNextPage", "has_next_page"))
    with pytest.raises(AssertionError):
        run(project, tool, *arguments)
