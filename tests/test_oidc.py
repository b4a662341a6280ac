"""Readers who come from an OpenID provider: with its tokens, and by signing in at it (spec 5.10)."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import websockets

from conftest import StartService
from flowtrail import auth, throttling
from flowtrail.database import Database
from flowtrail.errors import ConfigurationError
from flowtrail.graphql import endpoint
from flowtrail.oidc import Provider as Client
from flowtrail.oidc import claims, directory
from flowtrail.settings import Settings
from live import CHANGES, event_stream, socket
from oidc_provider import Provider, running_provider
from recorder import accept, register, started
from support import Service

QUERY = "{ executions(first: 10) { edges { node { server } } } }"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


def settings_of(provider: Provider) -> dict[str, Any]:
    return {"oidc_issuer": provider.issuer, "oidc_audience": provider.audience, "oidc_client_id": provider.client_id}


@pytest.fixture
async def service(start_service: StartService, provider: Provider) -> Service:
    running: Service = await start_service(**settings_of(provider))
    return running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was looked up holds, and keys may be fetched again at once."""
    monkeypatch.setattr(auth, "_REMEMBERED", 0.0)
    monkeypatch.setattr(directory, "PAUSE_SECONDS", 0.0)


async def code_of(service: Service, token: str | None) -> str | None:
    """The code a query with the token is refused with; None when it is answered."""
    response = await service.execute(QUERY, token=token)
    return response["errors"][0]["extensions"]["code"] if "errors" in response else None


class Browser:
    """Follows redirects by hand, and keeps cookies, as far as a sign-in needs it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []

    async def get(self, url: str) -> httpx2.Response:
        is_ours = urlsplit(url).netloc in ("", urlsplit(self.service.url).netloc)
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if is_ours else {}
        self.service.client.cookies.clear()
        answer = await self.service.client.get(url, headers=headers, follow_redirects=False)
        if is_ours:
            for line in answer.headers.get_list("set-cookie"):
                self.set_cookies.append(line)
                name, _, value = line.partition(";")[0].partition("=")
                if "Max-Age=0" in line:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = value
        return answer

    async def sign_in(self, to: str = "/") -> str:
        """Go to the provider and back; returns where in the page the browser ends up."""
        start = await self.get(str(httpx2.URL("/session/oidc", params={"to": to})))
        consent = await self.get(start.headers["location"])
        end = await self.get(consent.headers["location"])
        assert end.status_code == 303, end.text
        return str(end.headers["location"])

    async def state(self) -> Any:
        return (await self.get("/session")).json()

    async def post(self, document: str) -> Any:
        headers = {"cookie": f"flowtrail_session={self.cookies.get('flowtrail_session', '')}"}
        return (await self.service.client.post("/graphql", json={"query": document}, headers=headers)).json()


async def test_a_token_of_the_provider_reads_and_does_not_record(service: Service, provider: Provider) -> None:
    token = provider.access_token()
    assert await code_of(service, token) is None
    assert await code_of(service, None) == "UNAUTHENTICATED"
    refused = await service.execute('mutation { deleteFlow(input: {id: "x"}) { deletedId } }', token=token)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    here = (await service.execute("{ executions { changeCursor } }", token=token))["data"]["executions"]["changeCursor"]
    async with socket(service, token=token) as subscriber:
        await subscriber.subscribe(after=here)
        await accept(service, started())
        assert (await subscriber.event())["kind"] == "STARTED"
    async with event_stream(service, CHANGES, token=token, after=here) as events:
        assert "errors" not in await anext(events)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
async def test_keys_of_either_kind_are_accepted(service: Service, provider: Provider, kind: str) -> None:
    provider.rotate_keys(kind=kind)
    assert await code_of(service, provider.access_token()) is None


async def test_keys_are_fetched_once_and_again_when_they_were_rotated(service: Service, provider: Provider) -> None:
    tokens = [provider.access_token(jti=str(number)) for number in range(20)]
    assert set(await asyncio.gather(*(code_of(service, token) for token in tokens))) == {None}
    assert provider.requests.count("/keys") == 1
    provider.rotate_keys()
    assert await code_of(service, provider.access_token()) is None
    assert provider.requests.count("/keys") == 2


async def test_made_up_keys_do_not_send_the_service_to_the_provider_each_time(service: Service, provider: Provider) -> None:
    assert await code_of(service, provider.access_token()) is None
    for number in range(30):
        assert await code_of(service, provider.signed({"aud": provider.audience}, kid=f"unknown-{number}")) == "UNAUTHENTICATED"
    assert provider.requests.count("/keys") == 2


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_is_down_costs_only_what_is_not_known_of_it(service: Service, provider: Provider) -> None:
    provider.is_down = True
    answer = await service.client.post(
        "/graphql", json={"query": QUERY}, headers={"authorization": f"Bearer {provider.access_token()}"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
    provider.is_down = False
    assert await code_of(service, provider.access_token()) is None
    provider.is_down = True
    assert await code_of(service, provider.access_token(jti="another")) is None
    provider.rotate_keys()
    assert await code_of(service, provider.access_token()) == "UNAVAILABLE"
    provider.is_down = False
    assert await code_of(service, provider.access_token()) is None


@pytest.mark.usefixtures("impatient")
async def test_known_keys_are_not_waited_for(service: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await code_of(service, provider.access_token()) is None
    monkeypatch.setattr(directory, "REFRESH_SECONDS", 0.0)
    provider.is_down = True
    assert await code_of(service, provider.access_token()) is None
    provider.is_down, provider.holds = False, asyncio.Event()
    asked = len(provider.requests)
    for _ in range(3):
        async with asyncio.timeout(directory.ANSWER_SECONDS / 2):
            assert await code_of(service, provider.access_token()) is None
    while len(provider.requests) == asked:
        await asyncio.sleep(0.01)
    provider.holds.set()


async def test_who_tries_codes_is_held_up_and_nobody_else_is(service: Service, provider: Provider) -> None:
    browser = Browser(service)
    for number in range(50):  # other sites' pages may send a browser to such addresses
        assert "another browser" in signed_out((await browser.get(f"/session/oidc/callback?code={number}")).headers["location"])
    reason = ""
    for number in range(500):
        start = await browser.get("/session/oidc")
        state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
        callback = await browser.get(f"/session/oidc/callback?code={number}&state={state}")
        reason = signed_out(callback.headers["location"])
        if "too many" in reason:
            break
    assert "too many" in reason
    assert provider.requests.count("/token") >= throttling.FREE_ATTEMPTS


async def test_a_stream_ends_when_its_token_expires(service: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ACCESS_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(claims, "LEEWAY_SECONDS", 3600)
    token = provider.access_token(exp=int(time.time()) - 60)
    here = (await service.execute("{ executions { changeCursor } }", token=token))["data"]["executions"]["changeCursor"]
    async with socket(service, token=token) as subscriber, event_stream(service, CHANGES, token=token, after=here) as events:
        await subscriber.subscribe(after=here)
        await accept(service, started())
        assert (await subscriber.event())["kind"] == "STARTED"
        await anext(events)
        monkeypatch.setattr(claims, "LEEWAY_SECONDS", 0)
        assert await subscriber.close_code() == 4403
        async with asyncio.timeout(10):
            assert [event async for event in events] == []


async def test_a_claim_limits_readers_to_servers(start_service: StartService, provider: Provider) -> None:
    service: Service = await start_service(**settings_of(provider), oidc_servers_claim="https://example.com/servers")
    await register(service, {"toolName": "ship"}, server="orders")
    await accept(service, started(server="orders"), started(server="billing", tool="charge"))

    async def seen(servers: Any) -> Any:
        answer = await service.execute(QUERY, token=provider.access_token(**{"https://example.com/servers": servers}))
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return sorted(edge["node"]["server"] for edge in answer["data"]["executions"]["edges"])

    assert await seen(["orders"]) == ["orders"]
    assert await seen("billing") == ["billing"]
    assert await seen(["*"]) == ["billing", "orders"]
    unusable: tuple[Any, ...] = (None, [], {}, [1], 7, "")
    for nothing in unusable:
        assert await seen(nothing) == "UNAUTHENTICATED", nothing


async def test_only_those_with_the_required_claims_may_read(start_service: StartService, provider: Provider) -> None:
    required = {"oidc_required_claims": "hd=example.com,groups=readers,email_verified=true"}
    service: Service = await start_service(**settings_of(provider), **required)
    good = {"hd": "example.com", "groups": ["staff", "readers"], "email_verified": True}
    assert await code_of(service, provider.access_token(**good)) is None
    for bad in ({"hd": "evil.example"}, {"groups": ["staff"]}, {"groups": "readers2"}, {"email_verified": False}, {"hd": None}):
        assert await code_of(service, provider.access_token(**(good | bad))) == "UNAUTHENTICATED", bad


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(None, None), ("secret", None), ("s e+c%r/e:t=é", "client_secret_basic"), ("s e+c%r/e:t=é", "client_secret_post")],
)
async def test_a_browser_signs_in_and_out(
    start_service: StartService, provider: Provider, secret: str | None, shown: str | None
) -> None:
    provider.client_secret, provider.client_auth = secret, shown
    service: Service = await start_service(**settings_of(provider), oidc_client_secret=secret)
    browser = Browser(service)
    assert await browser.state() == {"isSignedIn": False, "signInUrl": "/session/oidc"}
    assert await browser.sign_in("/flows/shop?page=2") == "/flows/shop?page=2"
    assert await browser.state() == {"isSignedIn": True, "signInUrl": "/session/oidc"}
    assert "errors" not in await browser.post(QUERY)
    async with socket(service, additional_headers={"cookie": f"flowtrail_session={browser.cookies['flowtrail_session']}"}):
        pass
    copy = dict(browser.cookies)
    assert (
        await service.client.delete("/session", headers={"cookie": f"flowtrail_session={copy['flowtrail_session']}"})
    ).is_success
    browser.cookies = copy
    assert (await browser.state())["isSignedIn"] is False, "a copy of the cookie is worthless too"


async def test_cookies_are_for_this_service_alone(service: Service, provider: Provider) -> None:
    browser = Browser(service)
    await browser.sign_in()
    attempt, session, _ = browser.set_cookies
    assert {"HttpOnly", "SameSite=lax", "Path=/session/oidc"} <= set(attempt.split("; "))
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(session.split("; "))
    assert set(browser.cookies) == {"flowtrail_session"}
    assert browser.cookies["flowtrail_session"].count(".") == 0, "no token of the provider's reaches the browser"


@pytest.mark.usefixtures("impatient")
async def test_a_session_ends_with_its_lifetime_and_any_process_knows_it(
    start_service: StartService, provider: Provider, database: Database
) -> None:
    here: Service = await start_service(**settings_of(provider))
    there: Service = await start_service(**settings_of(provider))
    browser = Browser(here)
    await browser.sign_in()
    elsewhere = Browser(there)
    elsewhere.cookies = browser.cookies
    assert (await elsewhere.state())["isSignedIn"] is True
    async with database.write() as write:
        assert browser.cookies["flowtrail_session"] not in str(await write.fetch("SELECT * FROM browser_session"))
        await write.execute("UPDATE browser_session SET expires_at = clock_timestamp()")
    assert (await elsewhere.state())["isSignedIn"] is False
    await browser.sign_in()
    async with database.read() as read:
        assert await read.fetchval("SELECT count(*) FROM browser_session") == 1, "what has ended is forgotten"


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example/", "evil", "", "/a\nb", "/\t/evil.example", "/" + "é" * 1000]
)
async def test_a_sign_in_leads_to_this_page_only(service: Service, to: str) -> None:
    assert await Browser(service).sign_in(to) == "/"


def signed_out(location: str) -> str:
    """The reason in the address of the page that a failed sign-in leads to."""
    parts = urlsplit(location)
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/"), location
    (reason,) = parse_qs(parts.query)["signInError"]
    return reason


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another client"}, "aud"),
        ({"aud": ["flowtrail-page", "another"]}, "azp"),
        ({"azp": "another"}, "another client"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
    ],
)
async def test_an_id_token_that_says_something_else_signs_nobody_in(
    service: Service, provider: Provider, lie: dict[str, Any], reason: str
) -> None:
    provider.id_claims = lie
    browser = Browser(service)
    assert reason in signed_out(await browser.sign_in())
    assert browser.cookies == {}


async def test_a_refusal_of_the_provider_is_told(service: Service, provider: Provider) -> None:
    provider.refuses = "access_denied"
    assert signed_out(await Browser(service).sign_in()) == "the provider did not allow it"
    provider.refuses = "<script>"
    assert signed_out(await Browser(service).sign_in()) == "the provider could not sign you in"


async def test_a_wrong_client_secret_is_told(start_service: StartService, provider: Provider) -> None:
    provider.client_secret = "right"
    service: Service = await start_service(**settings_of(provider), oidc_client_secret="wrong")
    assert signed_out(await Browser(service).sign_in()) == "the provider does not accept this service as its client"


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_is_down_signs_nobody_in_and_breaks_nothing(service: Service, provider: Provider) -> None:
    provider.is_down = True
    browser = Browser(service)
    assert "can't be reached" in signed_out((await browser.get("/session/oidc")).headers["location"])
    provider.is_down = False
    start = await browser.get("/session/oidc")
    consent = await browser.get(start.headers["location"])
    provider.is_down = True
    assert "provider" in signed_out((await browser.get(consent.headers["location"])).headers["location"])


async def test_who_did_not_begin_a_sign_in_does_not_complete_it(service: Service) -> None:
    """What an attacker would do who wants somebody to be signed in as them, or to use a code they saw."""
    attacker, victim = Browser(service), Browser(service)
    start = await attacker.get("/session/oidc")
    consent = await attacker.get(start.headers["location"])
    callback = consent.headers["location"]
    assert "another browser" in signed_out((await victim.get(callback)).headers["location"])
    await victim.get("/session/oidc")
    assert "begun elsewhere" in signed_out((await victim.get(callback)).headers["location"])
    assert "flowtrail_session" not in victim.cookies
    assert (await attacker.get(callback)).headers["location"] == "/"
    second = Browser(service)
    second.cookies = {"flowtrail_sign_in": attacker.set_cookies[0].partition(";")[0].partition("=")[2]}
    assert "code" in signed_out((await second.get(callback)).headers["location"]), "a code works once"


async def test_the_way_back_can_not_be_changed_on_the_way(service: Service) -> None:
    browser = Browser(service)
    start = await browser.get("/session/oidc?to=/flows/a")
    secret = browser.cookies["flowtrail_sign_in"].partition(".")[0]
    browser.cookies["flowtrail_sign_in"] = f"{secret}.%2Fflows%2Fb"
    consent = await browser.get(start.headers["location"])
    assert "begun elsewhere" in signed_out((await browser.get(consent.headers["location"])).headers["location"])


async def test_signing_in_needs_a_client(start_service: StartService, provider: Provider) -> None:
    service: Service = await start_service(oidc_issuer=provider.issuer, oidc_audience=provider.audience)
    browser = Browser(service)
    assert await browser.state() == {"isSignedIn": False, "signInUrl": None}
    assert "no client" in signed_out((await browser.get("/session/oidc")).headers["location"])
    assert await code_of(service, provider.access_token()) is None
    begun = Browser(await start_service(**settings_of(provider)))
    start = await begun.get("/session/oidc")
    callback = urlsplit((await begun.get(start.headers["location"])).headers["location"])
    without = Browser(await start_service())
    browser.cookies, without.cookies = dict(begun.cookies), dict(begun.cookies)
    for other, reason in ((browser, "no client"), (without, "no provider")):
        assert reason in signed_out((await other.get(f"{callback.path}?{callback.query}")).headers["location"])
    assert "no provider" in signed_out((await without.get("/session/oidc")).headers["location"])


async def test_tokens_are_not_accepted_without_an_audience(start_service: StartService, provider: Provider) -> None:
    service: Service = await start_service(oidc_issuer=provider.issuer, oidc_client_id=provider.client_id)
    assert await code_of(service, provider.access_token()) == "UNAUTHENTICATED"
    assert await code_of(service, provider.id_token()) == "UNAUTHENTICATED"
    assert await Browser(service).sign_in() == "/"


async def test_a_closed_socket_is_what_a_bad_token_gets(service: Service, provider: Provider) -> None:
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        async with socket(service, token=provider.access_token(exp=1)):
            pass
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "Forbidden: the token has expired")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"oidc_issuer": "https://id.example"}, "FLOWTRAIL_OIDC_AUDIENCE"),
        ({"oidc_client_id": "page"}, "FLOWTRAIL_OIDC_ISSUER"),
        ({"oidc_issuer": "http://id.example", "oidc_audience": "a"}, "https://"),
        ({"oidc_issuer": "id.example", "oidc_audience": "a"}, "https://"),
        ({"oidc_issuer": "https://user:password@id.example", "oidc_audience": "a"}, "FLOWTRAIL_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example", "oidc_audience": "a", "oidc_required_claims": "hd"}, "REQUIRED_CLAIMS"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Client.of(Settings(**given))
