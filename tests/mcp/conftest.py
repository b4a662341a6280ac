"""Fixtures of the wrapper: a spool of each test's own, and recorders that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.recorder import close_recorders
from history import History
from support import Service


@pytest.fixture
def spool_root(tmp_path: Path) -> Path:
    """Where this test's events wait."""
    return tmp_path / "spool"


@pytest.fixture
def configuration(spool_root: Path, tmp_path: Path) -> Configuration:
    """Settings for a service that nobody runs."""
    return Configuration(url="http://127.0.0.1:9/graphql", data_dir=tmp_path / "data", spool_root=spool_root, exit_seconds=5)


@pytest.fixture(autouse=True)
def _recorders_end() -> Iterator[None]:
    yield
    close_recorders()


@pytest.fixture
def history(service: Service, spool_root: Path) -> History:
    """The real service and what is recorded in it."""
    return History(service, spool_root)
