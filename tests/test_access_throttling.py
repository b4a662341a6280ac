"""Guessing a token: it is held up, costs the service next to nothing, and holds up nobody else (spec 6.3)."""

import asyncio
from typing import Any

import httpx2
import pytest
import websockets
from structlog.testing import capture_logs

from conftest import StartService
from flowtrail import auth, browser_sessions, throttling, tokens
from flowtrail.auth import Access
from flowtrail.database import Database
from flowtrail.errors import TooManyAttempts, Unauthenticated, Unavailable
from flowtrail.settings import Settings
from flowtrail.throttling import FREE_ATTEMPTS, SECONDS_FOR_ONE, Attempts
from live import socket
from support import Service

QUERY = {"query": "{ executions(first: 1) { totalCount } }"}
SOMEWHERE, ELSEWHERE = "203.0.113.1", "203.0.113.2"


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """Behind a proxy that it trusts, so that requests come from anywhere."""
    running: Service = await start_service(read_token="right", trusted_proxies="127.0.0.1")
    return running


async def ask(service: Service, token: str, client: str) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}", "x-forwarded-for": client}
    return await service.client.post("/graphql", json=QUERY, headers=headers)


async def guess(service: Service, client: str) -> httpx2.Response:
    """Guess until it is held up; the answer to the first attempt that was. A slow machine gives time for some more."""
    for number in range(1000):
        answer = await ask(service, f"wrong {number}", client)
        if answer.status_code == 429:
            return answer
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    raise AssertionError("nobody stops who guesses")


async def test_who_guesses_is_held_up_and_told_for_how_long(service: Service) -> None:
    assert (await ask(service, "right", SOMEWHERE)).status_code == 200
    with capture_logs() as logs:
        held_up = await guess(service, SOMEWHERE)
    assert held_up.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert 1 <= int(held_up.headers["retry-after"]) <= SECONDS_FOR_ONE
    assert any(entry["event"].startswith("an address is held up") and entry["client"] == SOMEWHERE for entry in logs)
    assert "wrong" not in str(logs)
    assert (await ask(service, "right", SOMEWHERE)).status_code == 200, "a token it was let in with before"
    assert (await ask(service, "right", ELSEWHERE)).status_code == 200, "another address"
    anonymous = await service.client.post("/graphql", json=QUERY, headers={"x-forwarded-for": SOMEWHERE})
    assert anonymous.json()["errors"][0]["message"].startswith("reading needs a token"), "who shows none is not held up"


async def test_a_right_guess_is_not_told_from_wrong_ones_once_held_up(service: Service) -> None:
    await guess(service, SOMEWHERE)
    assert (await ask(service, "right", SOMEWHERE)).status_code == 429


async def test_every_door_is_held_up(service: Service) -> None:
    await guess(service, SOMEWHERE)
    origin = {"x-forwarded-for": SOMEWHERE}
    session = await service.client.post("/session", json={"token": "right"}, headers=origin)
    assert (session.status_code, session.json()["code"]) == (429, "UNAUTHENTICATED")
    assert int(session.headers["retry-after"]) >= 1
    metrics = await service.client.get("/metrics", headers={**origin, "authorization": "Bearer right"})
    assert metrics.status_code == 401
    metrics = await service.client.get("/metrics", headers={"authorization": "Bearer right"})
    assert 'flowtrail_access_refused_total{reason="TOO_MANY_ATTEMPTS"}' in metrics.text
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        async with socket(service, token="right", additional_headers=origin):
            pass
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403
    assert "too many" in closed.value.rcvd.reason


async def test_sending_the_same_wrong_token_again_is_no_guess(service: Service) -> None:
    for _ in range(3 * FREE_ATTEMPTS):
        assert (await ask(service, "revoked long ago", SOMEWHERE)).status_code == 401


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def digests(start: int, count: int) -> list[bytes]:
    return [tokens.digest(str(number)) for number in range(start, start + count)]


def is_held_up(attempts: Attempts, address: str) -> bool:
    try:
        attempts.check(address, b"anything")
    except TooManyAttempts:
        return True
    return False


def test_patience_gives_one_more_attempt_after_the_other() -> None:
    attempts, clock = Attempts(clock := Clock()), clock
    for digest in digests(0, FREE_ATTEMPTS):
        assert not is_held_up(attempts, SOMEWHERE)
        attempts.failed(SOMEWHERE, digest)
    assert is_held_up(attempts, SOMEWHERE)
    assert not is_held_up(attempts, ELSEWHERE)
    clock.now += SECONDS_FOR_ONE
    assert not is_held_up(attempts, SOMEWHERE)
    attempts.failed(SOMEWHERE, b"one more")
    assert is_held_up(attempts, SOMEWHERE)
    clock.now += SECONDS_FOR_ONE * FREE_ATTEMPTS
    for digest in digests(100, FREE_ATTEMPTS):
        assert not is_held_up(attempts, SOMEWHERE)
        attempts.failed(SOMEWHERE, digest)


def test_many_at_once_are_not_held_up_for_longer_than_one_after_the_other() -> None:
    attempts = Attempts(Clock())
    for digest in digests(0, 1000):
        attempts.failed(SOMEWHERE, digest)
    with pytest.raises(TooManyAttempts) as held_up:
        attempts.check(SOMEWHERE, b"anything")
    assert held_up.value.retry_after == SECONDS_FOR_ONE


def test_one_machine_with_many_ipv6_addresses_is_one() -> None:
    attempts = Attempts(Clock())
    for number, digest in enumerate(digests(0, FREE_ATTEMPTS)):
        attempts.failed(f"2001:db8::{number}:1", digest)
    assert is_held_up(attempts, "2001:db8::ffff")
    assert not is_held_up(attempts, "2001:db8:0:1::1")
    for digest in digests(0, FREE_ATTEMPTS):
        attempts.failed(f"::ffff:{SOMEWHERE}", digest)
    assert is_held_up(attempts, SOMEWHERE), "an IPv4 address in its other spelling"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_ADDRESSES", 10)
    monkeypatch.setattr(throttling, "_ENTRANCES", 10)
    attempts = Attempts(Clock())
    for number in range(100):
        for digest in digests(0, 3 * FREE_ATTEMPTS):
            attempts.failed(f"10.0.0.{number}", digest)
        attempts.succeeded(f"10.0.1.{number}", b"right")
    assert len(attempts._failures) == len(attempts._entrances) == 10
    assert max(len(failures.wrong) for failures in attempts._failures.values()) <= 16
    assert is_held_up(attempts, "10.0.0.99")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many digests each statement looked up that was sent to the database."""
    sent: list[int] = []
    for module in (tokens, browser_sessions):
        look_up = module.by_digests

        async def counted(read: Any, digests: Any, look_up: Any = look_up) -> Any:
            sent.append(len(digests))
            return await look_up(read, digests)

        monkeypatch.setattr(module, "by_digests", counted)
    return sent


async def test_who_guesses_does_not_reach_the_database(service: Service, statements: list[int]) -> None:
    wrong = [f"flowtrail_read_{number}" for number in range(200)]
    answers = await asyncio.gather(*(ask(service, token, SOMEWHERE) for token in wrong))
    assert {answer.status_code for answer in answers} <= {401, 429}
    sent = len(statements)
    for token in wrong[:50]:
        assert (await ask(service, f"{token}!", SOMEWHERE)).status_code in (401, 429)
    assert len(statements) - sent < 25


@pytest.mark.parametrize("prefix", ["flowtrail_read_", "flowtrail_session_"])
async def test_many_who_guess_at_once_share_a_statement(
    database: Database, tmp_path: Any, statements: list[int], prefix: str
) -> None:
    access = Access(database, Settings(data_dir=tmp_path))
    guesses = (access.viewer(f"Bearer {prefix}{number}", f"10.0.{number // 250}.{number % 250}") for number in range(900))
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert all(isinstance(outcome, Unauthenticated) for outcome in outcomes)
    assert statements == [900]


async def test_who_may_read_is_asked_once_by_many(database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    any_for_reading = tokens.any_for_reading

    async def counted(read: Any) -> bool:
        asked.append(read)
        return await any_for_reading(read)

    monkeypatch.setattr(tokens, "any_for_reading", counted)
    access = Access(database, Settings(data_dir=tmp_path))
    viewers = await asyncio.gather(*(access.viewer(None) for _ in range(200)))
    assert all(viewer.can_read for viewer in viewers)
    assert len(asked) == 1


async def test_a_database_that_is_away_lets_nobody_in_and_is_asked_again(
    database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_REMEMBERED", 0.0)
    async with database.write() as write:
        token = await tokens.create(write, "ci", "read")
    access = Access(database, Settings(data_dir=tmp_path))
    assert (await access.viewer(f"Bearer {token}", SOMEWHERE)).can_read
    async with database.write() as write:
        await write.execute("ALTER TABLE api_token RENAME TO api_token_away")
    away = await asyncio.gather(*(access.viewer(header, SOMEWHERE) for header in (None, f"Bearer {token}")), return_exceptions=True)
    assert all(isinstance(outcome, Exception) and not isinstance(outcome, Unauthenticated) for outcome in away)
    async with database.write() as write:
        await write.execute("ALTER TABLE api_token_away RENAME TO api_token")
    assert (await access.viewer(f"Bearer {token}", SOMEWHERE)).can_read


def test_unavailable_is_no_wrong_token() -> None:
    assert not issubclass(Unavailable, Unauthenticated)
