"""Whom a request means to reach and where it comes from: Host, Origin, CORS and proxies, over HTTP and WebSocket (spec 5.10)."""

import asyncio
import platform
import re
from typing import Any

import httpx2
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from structlog.testing import capture_logs

from conftest import StartService
from flowtrail import doors
from flowtrail.errors import ConfigurationError
from flowtrail.settings import Settings
from flowtrail.throttling import client_of
from live import socket
from support import Service

QUERY = {"query": "{ executions(first: 1) { totalCount } }"}
DASHBOARD = "https://dashboard.example"
OWN_NAMES = ("localhost", "app.localhost", "127.0.0.1", "::1", platform.node().lower())
NAMES = st.sampled_from([*OWN_NAMES[:3], "[::1]", "evil.example", "LOCALHOST", "localhost.", "127.0.0.1.evil.example", ""])
PLACES = st.builds(
    "{}{}{}".format,
    NAMES,
    st.sampled_from(["", ":80", ":443", ":8000", ":", ":x", ":99999"]),
    st.sampled_from(["", "", "/", "#x", "@evil.example"]),
)
SCHEMES = st.sampled_from(["http://", "https://", "//", "", "file://", "http:"])
ANYTHING = st.text(st.characters(max_codepoint=255), max_size=40)
HEADERS = st.one_of(
    st.tuples(ANYTHING, ANYTHING),
    st.tuples(PLACES, st.builds("{}{}".format, SCHEMES, PLACES)),
    st.builds(lambda scheme, place: (place, f"{scheme}{place}"), SCHEMES, PLACES),
)
"""Host and Origin: bytes of any kind, what looks like them, and those that go together."""


async def post(service: Service, **headers: str) -> httpx2.Response:
    return await service.client.post(
        "/graphql", json=QUERY, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


async def socket_opens(service: Service, **headers: str) -> bool:
    try:
        async with socket(service, additional_headers=headers):
            return True
    except websockets.InvalidStatus as refused:
        return refused.response.status_code != 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "app.localhost", "127.0.0.1", "[::1]:8000", "10.1.2.3", "localhost."]
)
async def test_this_machines_own_names_and_any_address_are_let_in(service: Service, host: str) -> None:
    assert (await post(service, host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost", "", ":8000"),
        *("localhost@evil.example", "localhost/evil", "[::1", "localhost:port", "127.0.0.1#", "0x7f000001.nip"),
    ],
)
async def test_a_name_that_was_made_to_point_here_reaches_nothing(service: Service, host: str) -> None:
    for path in ("/", "/graphql", "/session", "/metrics", "/readyz"):
        answer = await service.client.get(path, headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "FORBIDDEN"), path
    answer = await post(service, host=host)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (421, "FORBIDDEN")
    assert "FLOWTRAIL_ALLOWED_HOSTS" in answer.json()["errors"][0]["message"]


async def test_who_shows_a_token_may_call_this_machine_by_any_name(start_service: StartService, service: Service) -> None:
    """As a recorder in a container does. A page that had its name point here has no token, and gets nothing without one."""
    host = "host.docker.internal:8000"
    assert (await post(service, host=host, authorization=f"Bearer {service.record_token}")).status_code == 200
    assert (await post(service, host=host, authorization="Bearer made-up")).status_code == 401
    assert (await post(service, host=host, cookie=f"flowtrail_session={service.record_token}")).status_code == 421
    assert (await post(service, host=platform.node())).status_code == 200
    strict: Service = await start_service(allowed_hosts="flowtrail.example")
    assert (await post(strict, host=host, authorization=f"Bearer {service.record_token}")).status_code == 421


async def test_a_socket_to_such_a_name_is_not_opened(service: Service) -> None:
    port = service.url.rpartition(":")[2]
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(
            f"ws://evil.example:{port}/graphql",
            host="127.0.0.1",
            port=int(port),
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        )


async def test_names_that_are_set_are_let_in_and_no_others(start_service: StartService) -> None:
    service: Service = await start_service(allowed_hosts="Flowtrail.example, *.internal")
    for host in ("flowtrail.example", "FLOWTRAIL.example:443", "a.internal", "b.a.internal", "localhost", "127.0.0.1"):
        assert (await post(service, host=host)).status_code == 200, host
    for host in ("internal", "www.flowtrail.example", "flowtrail.example.evil", "evil.example", "ainternal"):
        assert (await post(service, host=host)).status_code == 421, host


@pytest.mark.parametrize(
    ("server", "allowed", "status"),
    [
        (("10.0.0.5", 8000), "", 200),  # away from this machine readers need a token anyway
        (("10.0.0.5", 8000), "flowtrail.example", 421),
        (("127.0.0.1", 8000), "", 421),
        (("::1", 8000), "", 421),
        (("::ffff:127.0.0.1", 8000), "", 421),
        (("127.0.0.1", 8000), "*", 200),
        (("/run/flowtrail.sock", None), "", 200),
        (None, "", 200),
    ],
)
async def test_the_address_that_was_reached_decides_where_no_names_are_set(server: Any, allowed: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    door = doors.HostDoor(app, Settings(allowed_hosts=allowed).allowed_hosts)  # type: ignore[arg-type]  # as text
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"host", b"shop.example")],
        "server": server,
        "scheme": "http",
    }
    await door(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    assert sent[0]["status"] == status


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "https://127.0.0.1",
        "file://",
        "http://",
        "evil",
        "http://[",
        "http://x:y",
    ],
)
async def test_pages_of_other_sites_can_send_nothing(service: Service, origin: str) -> None:
    answer = await post(service, origin=origin)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    assert "access-control-allow-origin" not in answer.headers
    for method in ("POST", "DELETE"):
        answer = await service.client.request(method, "/session", json={"token": "x"}, headers={"origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert not await socket_opens(service, origin=origin)


async def test_pages_of_this_service_and_programs_can(service: Service) -> None:
    port = service.url.rpartition(":")[2]
    assert (await post(service)).status_code == 200
    for origin, host in (
        (service.url, f"127.0.0.1:{port}"),
        ("http://localhost:5173", "localhost:5173"),
        ("https://localhost", "localhost:443"),  # TLS ends at a proxy in front
        ("http://localhost:80", "localhost"),
    ):
        assert (await post(service, origin=origin, host=host)).status_code == 200, origin
    behind_a_proxy = {"origin": "https://flowtrail.example", "host": "127.0.0.1"}  # which asks by another name
    assert (await post(service, **behind_a_proxy)).status_code == 403
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)):
        assert (await post(service, **behind_a_proxy, sec_fetch_site=site)).status_code == status, site
    assert await socket_opens(service, origin=service.url)


async def test_a_page_that_came_unprotected_is_not_the_one_that_came_by_tls(start_service: StartService) -> None:
    service: Service = await start_service(trusted_proxies="127.0.0.1")
    secure = {"x_forwarded_proto": "https", "host": "localhost"}
    assert (await post(service, origin="http://localhost", **secure)).status_code == 403
    assert (await post(service, origin="https://localhost", **secure)).status_code == 200


async def test_no_page_elsewhere_may_read_answers_unless_named(service: Service) -> None:
    preflight = {"origin": DASHBOARD, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    answer = await service.client.options("/graphql", headers=preflight)
    assert not any(name.startswith("access-control-") for name in answer.headers)


async def test_named_origins_may_ask_with_credentials(start_service: StartService) -> None:
    service: Service = await start_service(allowed_origins=f"{DASHBOARD.upper()}, http://localhost:3000")
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    preflight = await service.client.options("/graphql", headers={"origin": DASHBOARD, **wanted})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DASHBOARD
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    answer = await post(service, origin=DASHBOARD)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, DASHBOARD)
    assert {"Retry-After", "X-Request-Id"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert await socket_opens(service, origin=DASHBOARD)
    for other in ("https://evil.example", f"{DASHBOARD}.evil", f"{DASHBOARD}:444", "http://dashboard.example"):
        assert (await post(service, origin=other)).status_code == 403
        assert not await socket_opens(service, origin=other)
        refused = await service.client.options("/graphql", headers={"origin": other, **wanted})
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("allowed_origins", value)
            for value in ("*", "null", "dashboard.example", "https://a.example/path", "ftp://a.example", "https://")
        ),
        *(("trusted_proxies", value) for value in ("*", "proxy.example", "10.0.0.1/8", "10.0.0.0/33")),
    ],
)
async def test_settings_that_would_open_too_much_or_nothing_are_named(start_service: StartService, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"FLOWTRAIL_{name.upper()}"):
        await start_service(**{name: value})


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        ("", "203.0.113.7", "127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.7", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        (
            "127.0.0.0/8,10.0.0.0/8",
            "198.51.100.1, 203.0.113.7, 10.1.1.1",
            "203.0.113.7",
        ),  # the client can make up only what is left
        ("::1", "203.0.113.7", "127.0.0.1"),
    ],
)
async def test_only_proxies_that_are_named_tell_who_asks(
    start_service: StartService, proxies: str, forwarded: str, client: str
) -> None:
    service: Service = await start_service(trusted_proxies=proxies)
    with capture_logs() as logs:
        await post(service, x_forwarded_for=forwarded, authorization="Bearer wrong")
    assert [entry["client"] for entry in logs if entry["event"] == "access refused"] == [client]


async def test_a_cookie_is_for_tls_alone_where_a_trusted_proxy_says_so(start_service: StartService) -> None:
    token = "a token to read with"
    trusting: Service = await start_service(read_token=token, trusted_proxies="127.0.0.1")
    wary: Service = await start_service(read_token=token)
    headers = {"x-forwarded-proto": "https"}
    for service, is_secure in ((trusting, True), (wary, False)):
        answer = await service.client.post("/session", json={"token": token}, headers=headers)
        assert ("Secure" in answer.headers["set-cookie"].split("; ")) is is_secure


def test_an_unknown_peer_has_a_name_too() -> None:
    assert client_of(HTTPConnection({"type": "http", "headers": [], "client": None})) == "unknown"


@given(headers=HEADERS, reached=st.sampled_from(["127.0.0.1", "10.0.0.5"]), scheme=st.sampled_from(["http", "https"]))
def test_whatever_stands_in_the_headers_is_let_in_only_for_a_reason(headers: tuple[str, str], reached: str, scheme: str) -> None:
    host, origin = headers
    let_in: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        let_in.append(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    given_headers = [(b"host", host.encode("latin-1")), (b"origin", origin.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": given_headers, "server": (reached, 80), "scheme": scheme}
    with capture_logs():
        asyncio.run(doors.HostDoor(doors.OriginDoor(app, ()), ())(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    if let_in:
        page = httpx2.URL(origin)
        assert page.scheme == "https" or (page.scheme, scheme) == ("http", "http")
        assert page.host.lower().strip("[]") == re.sub(r":\d+$", "", host.lower()).strip("[]")
        assert reached != "127.0.0.1" or page.host.lower().rstrip(".") in OWN_NAMES
    else:
        assert sent[0]["status"] in (403, 421)


VISITS = st.tuples(
    st.sampled_from(["localhost", "evil.example", "flowtrail.example", "127.0.0.1", ""]),
    st.sampled_from([("127.0.0.1", 80), ("10.0.0.5", 80), None]),
    st.booleans(),
)


@given(visits=st.lists(VISITS, min_size=2, max_size=12), allowed=st.sampled_from([(), ("flowtrail.example",), ("*",)]))
def test_a_door_that_remembers_decides_as_a_new_one(visits: list[tuple[str, Any, bool]], allowed: tuple[str, ...]) -> None:
    let_in: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        let_in.append(scope)

    async def send(message: Any) -> None:
        pass

    def passes(door: doors.HostDoor, host: str, server: Any, has_token: bool) -> bool:
        headers = [(b"host", host.encode())] + ([(b"authorization", b"Bearer x")] if has_token else [])
        let_in.clear()
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "server": server, "scheme": "http"}
        asyncio.run(door(scope, None, send))  # type: ignore[arg-type]  # nothing is received
        return bool(let_in)

    remembering = doors.HostDoor(app, allowed)
    with capture_logs():
        for visit in visits:
            assert passes(remembering, *visit) == passes(doors.HostDoor(app, allowed), *visit)
