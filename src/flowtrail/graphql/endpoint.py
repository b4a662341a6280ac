"""What the transports share: the service, who asks, and the word that it stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flowtrail.errors import FlowtrailError, Unauthenticated
from flowtrail.graphql.broadcast import Broadcast
from flowtrail.graphql.context import Context
from flowtrail.graphql.documents import Documents
from flowtrail.graphql.large_bodies import LargeBodies
from flowtrail.graphql.streams import Streams
from flowtrail.shares import Shares

if TYPE_CHECKING:
    from flowtrail.service import Service

ACCESS_CHECK_SECONDS = 5.0
"""How often it is asked whether whoever holds a stream open may still read."""


class Endpoint:
    """The /graphql of one service."""

    def __init__(self, service: Service) -> None:
        """Raises ConfigurationError for trusted documents that can't be used."""
        self.settings = service.settings
        self.documents = Documents(service.settings)
        self.large_bodies = LargeBodies(self.documents)
        self.streams = Streams(service.settings.streams_per_client)
        self._shares = Shares(service.settings)
        self.broadcast = Broadcast(service.database.primary, service.tail, self._shares.another())
        self.stopping = asyncio.Event()
        """Set when the process stops: streams end, and their clients connect anew."""
        self._service = service

    def close(self) -> None:
        """Stop for good: streams end, and no document is prepared any more."""
        self.stopping.set()
        self.documents.close()

    async def context(self, authorization: str | None, client: str) -> Context:
        """Return the context of an operation from the address `client`; raises Unauthenticated for a token that is not valid."""
        viewer = await self._service.access.viewer(authorization, client)
        share = self._shares.of(viewer.name, client)
        database = self._service.database.shared_by(share)
        return Context(database, self._service.tail, viewer, self.settings.request_timeout, share)

    async def access_lost(self, authorization: str | None) -> str:
        """Wait until the viewer may not read any more, as when their token is revoked; returns why."""
        while True:
            await asyncio.sleep(ACCESS_CHECK_SECONDS)
            try:
                viewer = await self._service.access.viewer(authorization)
            except Unauthenticated as error:
                return error.message
            except FlowtrailError:
                continue  # a database that is away says nothing about access
            if not viewer.can_read:
                return "reading needs a token now"
