"""The tables of a spool file (spool.py)."""

PLACE_BITS = 24
"""An event's sequence is its execution's number, shifted by this, and its place in the execution: the order of sending."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    sequence INTEGER PRIMARY KEY,      -- the execution's number, shifted, and the event's place in it
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,               -- microseconds since 1970
    checksum INTEGER NOT NULL,
    body TEXT NOT NULL,
    id TEXT,                           -- of the execution, for its start
    server TEXT
);
CREATE TABLE IF NOT EXISTS execution ( -- sending was tried: it can't give way any more
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    server TEXT NOT NULL,
    last_at INTEGER NOT NULL           -- the last thing known of it
);
CREATE TABLE IF NOT EXISTS dead_letter (
    sequence INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body TEXT NOT NULL,
    id TEXT NOT NULL,
    server TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS dropped (server TEXT PRIMARY KEY, executions INTEGER NOT NULL, since INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
