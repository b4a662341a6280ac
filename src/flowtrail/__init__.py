"""Flowtrail: the record of every execution of an MCP server's flows, served over GraphQL."""
