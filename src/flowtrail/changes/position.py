"""Where in the feed a reader is: what was visible at one moment, so that nothing depends on the order of numbers.

A position is a snapshot of the database. While a reader is inside a batch, it is also the snapshot that the batch was read at,
and the sequence number of the last change it has seen of it.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Self

import asyncpg

from flowtrail.pagination import decode_base64, encode_base64

POSITION_COLUMNS = """
    (SELECT CASE WHEN pg_is_in_recovery() THEN pg_snapshot_xmin(now)::text || ':' || pg_snapshot_xmin(now)::text || ':'
                 ELSE now::text END FROM pg_current_snapshot() AS now) AS feed_snapshot,
    (SELECT coalesce((SELECT c.xid FROM execution_change c WHERE c.xid > floor.xid ORDER BY c.xid DESC LIMIT 1), floor.xid)::text
     FROM feed_floor AS floor) AS feed_highest,
    (SELECT epoch FROM feed_epoch) AS feed_epoch
"""
"""What a statement selects so that `Position.of` can tell where in the feed its rows were read.

A standby does not list what is in progress: there, all from the oldest of it on counts as unseen. That repeats some, loses none.
"""

_SNAPSHOT = r"(\d{1,20}:\d{1,20}:(?:\d{1,20}(?:,\d{1,20})*)?)"
_CURSOR = re.compile(rf"([0-9a-f]{{32}})/{_SNAPSHOT}(?:/{_SNAPSHOT}/(\d{{1,19}}))?", re.ASCII)
_XID_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Transactions below `xmin` are settled, from `xmax` on not yet begun, and between them those in `xip` are in progress."""

    xmin: int
    xmax: int
    xip: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        xmin, xmax, in_progress = text.split(":")
        return cls(int(xmin), int(xmax), tuple(int(xid) for xid in in_progress.split(",") if xid))

    def capped(self, highest: int) -> "Snapshot":
        """Return the snapshot without what is above the highest transaction that the feed holds.

        After a crash of PostgreSQL a number that had been handed out may be handed out again: what commits under it is unseen.
        """
        xmax = min(self.xmax, highest + 1)
        return Snapshot(min(self.xmin, xmax), xmax, tuple(xid for xid in self.xip if xid <= highest))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, self.xip))}"


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader has seen: everything visible in `seen`, and of the batch up to `batch`, if it is inside one, up to `seq`."""

    epoch: uuid.UUID
    seen: Snapshot
    batch: Snapshot | None = None
    seq: int = 0

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Return the position of a statement that selected POSITION_COLUMNS."""
        return cls(row["feed_epoch"], Snapshot.parse(row["feed_snapshot"]).capped(int(row["feed_highest"])))

    def inside(self, batch: Snapshot, seq: int) -> "Position":
        """Return the position after the change `seq` of the batch that ends at `batch`."""
        return Position(self.epoch, self.seen, batch, seq)

    def after_batch(self) -> "Position":
        """Return the position at the end of the batch that this one is inside of."""
        return Position(self.epoch, self.batch) if self.batch else self

    def encode(self) -> str:
        """Return the opaque cursor."""
        inside = f"/{self.batch}/{self.seq}" if self.batch else ""
        return encode_base64(f"{self.epoch.hex}/{self.seen}{inside}".encode())

    @classmethod
    def decode(cls, cursor: str) -> "Position":
        """Return the position of a cursor; raises ValueError when it is none of ours."""
        match = _CURSOR.fullmatch(decode_base64(cursor).decode())
        if match is None:
            raise ValueError("shape")
        epoch, seen, batch, seq = match.groups()
        position = cls(uuid.UUID(epoch), Snapshot.parse(seen), Snapshot.parse(batch) if batch else None, int(seq or 0))
        numbers = [position.seq]
        for snapshot in (position.seen, position.batch):
            if snapshot is not None:
                if not snapshot.xmin <= snapshot.xmax or any(not snapshot.xmin <= xid < snapshot.xmax for xid in snapshot.xip):
                    raise ValueError("order")
                numbers.append(snapshot.xmax)
        if max(numbers) >= _XID_LIMIT:
            raise ValueError("size")
        return position
