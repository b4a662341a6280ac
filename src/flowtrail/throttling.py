"""Failed attempts to enter: whoever keeps guessing is held up, and nobody else (spec 6.3).

In memory, and bounded. An address that is held up is let in by a token it was let in with before: whoever shares it, as
behind one proxy, goes on working.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowtrail.addresses import network_of
from flowtrail.errors import TooManyAttempts

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from typing import Any

FREE_ATTEMPTS = 10
"""Different wrong tokens that an address may send in a row."""
SECONDS_FOR_ONE = 6.0
"""After so long it may send one more."""
_ADDRESSES = 10_000
_ENTRANCES = 10_000
_REMEMBERED_WRONG = 16
"""Tokens of an address that are known to be wrong: sending one again is a mistake, not a guess."""


@dataclass(slots=True)
class _Failures:
    """What an address has used up, as of `at` (monotonic seconds), and the digests of its latest wrong tokens."""

    used: float = 0.0
    at: float = 0.0
    wrong: list[bytes] = field(default_factory=list)


def client_of(connection: Mapping[str, Any]) -> str:
    """Return the address that an ASGI scope, or Starlette's view of it, comes from, as far as proxies that are trusted tell
    (doors.py).
    """
    client = connection.get("client")
    return client[0] if client else "unknown"


class Attempts:
    """The attempts of all addresses of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._entrances: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def check(self, address: str, digest: bytes) -> None:
        """Raise TooManyAttempts when a token of that digest must not even be looked at now."""
        key = network_of(address)
        failures = self._failures.get(key)
        if failures is None or (key, digest) in self._entrances:
            return
        used = self._used(failures)
        if used > FREE_ATTEMPTS - 1:
            raise TooManyAttempts(math.ceil((used - (FREE_ATTEMPTS - 1)) * SECONDS_FOR_ONE))

    def failed(self, address: str, digest: bytes) -> bool:
        """Count a wrong token, once; returns whether the address is held up from now on."""
        key = network_of(address)
        failures = self._failures.get(key) or _Failures()
        if digest in failures.wrong:
            return False
        failures.used, failures.at = min(self._used(failures) + 1, FREE_ATTEMPTS), self._clock()
        failures.wrong = [*failures.wrong[1 - _REMEMBERED_WRONG :], digest]
        self._entrances.pop((key, digest), None)
        _keep(self._failures, key, failures, _ADDRESSES)
        return failures.used > FREE_ATTEMPTS - 1

    def succeeded(self, address: str, digest: bytes) -> None:
        """Remember that the address was let in with the token."""
        _keep(self._entrances, (network_of(address), digest), None, _ENTRANCES)

    def _used(self, failures: _Failures) -> float:
        return max(failures.used - (self._clock() - failures.at) / SECONDS_FOR_ONE, 0.0)


def _keep(memory: OrderedDict[Any, Any], key: Hashable, value: object, limit: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)
