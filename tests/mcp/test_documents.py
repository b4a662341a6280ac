"""The wrapper's documents are those that the service promises to serve for ever."""

from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from flowtrail.mcp import documents

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "RegisterFlows": documents.REGISTER_FLOWS,
    "RecordEvents": documents.RECORD_EVENTS,
    "ReportRecorder": documents.REPORT_RECORDER,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_kept_document_is_the_one_sent(name: str) -> None:
    assert (ROOT / "tests" / "operations" / f"{name}.graphql").read_text() == DOCUMENTS[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schema_accepts_the_document(name: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    assert validate(schema, parse(DOCUMENTS[name])) == []
