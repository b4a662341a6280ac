"""What a resolver may reach: the service, who asks, and loaders that live for one operation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import structlog
from strawberry.fastapi import BaseContext

from flowtrail.errors import Forbidden, Unauthenticated
from flowtrail.graphql.loaders import Loaders
from flowtrail.observability import metrics

if TYPE_CHECKING:
    from flowtrail.auth import Viewer
    from flowtrail.changes import Tail
    from flowtrail.database import Database
    from flowtrail.shares import Place, Share

log = structlog.get_logger()


@dataclass
class Context(BaseContext):
    """The context of one operation. Never kept for longer: its loaders remember what they read."""

    database: Database
    tail: Tail
    viewer: Viewer
    timeout: float
    """Seconds the operation may take."""
    share: Share
    """What its client may use at the same time."""
    place: Place | None = None
    """What the operation has of that, until it is answered."""

    @cached_property
    def loaders(self) -> Loaders:
        """What reads for this operation, and remembers what it read."""
        # Not a method of this: rows would have to wait for the garbage collector.
        hold = None if self.place is None else partial(self.place.hold_values, self.share)
        return Loaders(self.database, self.viewer.servers, hold)

    def fresh(self) -> Context:
        """Return a context for the next operation of the same viewer."""
        return Context(self.database, self.tail, self.viewer, self.timeout, self.share)

    def following(self, share: Share | None = None) -> Context:
        """Return a context for the next event, which is executed for its own client or for those who have this share. What is read
        for it may not be older than its change, as a standby can be.
        """
        share = share or self.share
        return Context(self.database.primary.shared_by(share), self.tail, self.viewer, self.timeout, share)

    def require_reader(self) -> None:
        """Raise unless the viewer may read."""
        if not self.viewer.can_read:
            raise Unauthenticated("reading needs a token: send Authorization: Bearer …")

    def require_recorder(self) -> None:
        """Raise unless the viewer may record (spec 4.1)."""
        if not self.viewer.can_record:
            if self.viewer.is_anonymous:
                raise Unauthenticated("mutations need a recorder token: send Authorization: Bearer …")
            metrics.refusals.labels(Forbidden.code).inc()
            log.warning("recording refused", viewer=self.viewer.name)
            raise Forbidden("mutations need a recorder token; this one may only read")
