"""From a spool to the service: batches in order, and each event's receipt acted upon (spec 4.2, 4.6)."""

import json
import time
from collections.abc import Sequence
from typing import Any

from flowtrail.mcp import documents
from flowtrail.mcp.events import time_text
from flowtrail.mcp.spool import Spool
from flowtrail.mcp.spooled import Event, EventKind, Refusal
from flowtrail.mcp.transport import BadRequest, Transport, Unreachable

MOST_EVENTS = 1000
MOST_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Of one request, leaving room for the document around the events."""

_DAMAGED = Refusal("DAMAGED", "the event's checksum does not match: the disk changed it")


class ForeignEvents(Exception):
    """The service does not let this process's token record another server's events."""


class Delivery:
    """Sends what waits in spools."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send_batch(self, spool: Spool, *, is_own: bool = True) -> int:
        """Send one batch and return how many events left the spool; 0 when it is empty.

        Raises DeliveryError, after which everything unsettled is still there; ForeignEvents, for events of another
        process (`is_own` false) that our token may not record; and sqlite3.Error.
        """
        events = spool.batch(MOST_EVENTS, MOST_BYTES)
        if not events:
            return 0
        damaged = [event for event in events if event.is_damaged]
        if damaged:
            spool.settle(damaged, {event.sequence: _DAMAGED for event in damaged})
        sound = [event for event in events if not event.is_damaged]
        spool.mark_begun(sound)
        self._deliver(spool, sound, is_own=is_own)
        return len(events)

    def _deliver(self, spool: Spool, events: Sequence[Event], *, is_own: bool) -> None:
        if not events:
            return
        try:
            receipts = self._record(events)
        except BadRequest as error:
            if len(events) > 1:
                middle = len(events) // 2
                self._deliver(spool, events[:middle], is_own=is_own)
                self._deliver(spool, events[middle:], is_own=is_own)
                return
            self._check_service(error)
            spool.settle(events, {events[0].sequence: Refusal(error.code, str(error))})
            return
        refusals = {
            event.sequence: Refusal(str(receipt.get("code") or "REJECTED"), str(receipt.get("reason") or "no reason given"))
            for event, receipt in zip(events, receipts, strict=True)
            if receipt["outcome"] == "REJECTED" and not _is_known_end(event, receipt)
        }
        if not is_own and any(refusal.code == "FORBIDDEN" for refusal in refusals.values()):
            raise ForeignEvents
        spool.settle(events, refusals)

    def _record(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        sent_at = time_text(time.time_ns() // 1000)
        body = ",".join(event.body for event in events)
        data = self._transport.execute(documents.RECORD_EVENTS, f'{{"input":{{"sentAt":"{sent_at}","events":[{body}]}}}}')
        try:
            receipts = data["recordEvents"]["receipts"]
            if len(receipts) == len(events) and all(receipt["outcome"] in _OUTCOMES for receipt in receipts):
                return list(receipts)
        except (KeyError, TypeError):
            pass
        raise Unreachable("no receipts", "the answer has no receipt for each event")

    def _check_service(self, error: BadRequest) -> None:
        """Tell a bad event from a service that takes none of ours: such a one refuses an empty batch as well."""
        try:
            self._record([])
        except BadRequest:
            raise Unreachable("incompatible", f"the service takes no events of this version: {error}") from error

    def register_flows(self, server: str, registrations: Sequence[str]) -> None:
        """Register flows, given as JSON texts of FlowRegistration; raises DeliveryError."""
        flows = ",".join(registrations)
        self._transport.execute(documents.REGISTER_FLOWS, f'{{"input":{{"server":{json.dumps(server)},"flows":[{flows}]}}}}')

    def report(self, server: str, instance: str, version: str, dropped: int, since: int | None) -> None:
        """Tell the service that this recorder lives and what it had to give up; raises DeliveryError."""
        report = {"server": server, "instance": instance, "version": version, "droppedExecutions": dropped}
        if since is not None:
            report["droppedSince"] = time_text(since)
        self._transport.execute(documents.REPORT_RECORDER, json.dumps({"input": report}))


def _is_known_end(event: Event, receipt: dict[str, Any]) -> bool:
    """Return whether an end that was only guessed is refused because the true one is known already."""
    is_guessed = event.kind is EventKind.FINISHED and _GUESSED_END in event.body
    return is_guessed and receipt.get("code") in ("CONFLICT", "EXECUTION_ENDED")


_GUESSED_END = '"kind":"INTERRUPTED"'
_OUTCOMES = frozenset({"ACCEPTED", "DUPLICATE", "REJECTED"})
