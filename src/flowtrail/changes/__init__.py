"""The change feed: every step of every execution's life, once, in an order that a reader can resume from (spec 3).

    position.py  where a reader is, as a snapshot (docs/decisions/snapshots-as-feed-positions.md)
    feed.py      append, read from a position, prune
    hints.py     LISTEN and NOTIFY: that there may be something new, never what
    tail.py      follows the feed once for the whole process and fans it out

A notification is a hint: whoever is woken reads the feed, so a lost one costs milliseconds, not changes.
"""

from flowtrail.changes.feed import (
    BATCH,
    Change,
    Entry,
    EpochChanged,
    ResyncReason,
    ResyncRequired,
    append,
    ensure_epoch,
    prune,
    read_after,
    reset,
)
from flowtrail.changes.position import POSITION_COLUMNS, Position
from flowtrail.changes.tail import Batch, Follower, Joined, Tail, catch_up

__all__ = [
    "BATCH",
    "POSITION_COLUMNS",
    "Batch",
    "Change",
    "Entry",
    "EpochChanged",
    "Follower",
    "Joined",
    "Position",
    "ResyncReason",
    "ResyncRequired",
    "Tail",
    "append",
    "catch_up",
    "ensure_epoch",
    "prune",
    "read_after",
    "reset",
]
