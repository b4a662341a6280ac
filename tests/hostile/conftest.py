"""What hostile tests have in common."""

import pytest

from flowtrail import throttling


@pytest.fixture(autouse=True)
def many_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All cases come from one address: one wrong token must not be answered for the others."""
    monkeypatch.setattr(throttling, "FREE_ATTEMPTS", 10_000)
