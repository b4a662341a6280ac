"""Writes the manifest of the documents that the page, the wrapper and the commands send, from tests/operations."""

from pathlib import Path

from flowtrail.graphql import trusted

OPERATIONS = Path(__file__).parents[1] / "tests" / "operations"

trusted.MANIFEST.write_text(trusted.manifest(path.read_text() for path in sorted(OPERATIONS.rglob("*.graphql"))), encoding="utf-8")
