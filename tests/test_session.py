"""The cookie of a signed-in browser: what it opens, and for whom (spec 5.10)."""

import httpx2
import pytest
import websockets

from live import socket
from support import Service

QUERY = {"query": "{ executions(first: 1) { totalCount } }"}


@pytest.fixture
def read_token() -> str:
    return "read token; of=the tests"


async def sign_in(client: httpx2.AsyncClient, token: str) -> dict[str, str]:
    """Sign in and return the headers that a browser would send from now on."""
    answer = await client.post("/session", json={"token": token})
    assert answer.status_code == 204, answer.text
    client.cookies.clear()
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


async def test_the_cookie_counts_as_the_token(client: httpx2.AsyncClient, service: Service, read_token: str) -> None:
    refused = (await client.post("/graphql", json=QUERY)).json()
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    cookie = await sign_in(client, read_token)
    assert "errors" not in (await client.post("/graphql", json=QUERY, headers=cookie)).json()
    assert (await client.get("/session", headers=cookie)).json() == {"isSignedIn": True, "signInUrl": None}
    assert (await client.get("/session")).json() == {"isSignedIn": False, "signInUrl": None}
    async with socket(service, additional_headers=cookie) as subscriber:
        await subscriber.subscribe()


async def test_no_script_sees_the_cookie_and_signing_out_takes_it_back(client: httpx2.AsyncClient, read_token: str) -> None:
    given = (await client.post("/session", json={"token": read_token})).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(given.split("; "))
    assert read_token not in given
    taken = (await client.delete("/session")).headers["set-cookie"]
    assert "Max-Age=0" in taken


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_can_use_nothing(
    client: httpx2.AsyncClient, service: Service, read_token: str, origin: str
) -> None:
    headers = await sign_in(client, read_token) | {"origin": origin}
    refused = await client.post("/graphql", json=QUERY, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    for method in ("POST", "DELETE"):
        answer = await client.request(method, "/session", json={"token": read_token}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    with pytest.raises(websockets.InvalidStatus):
        async with socket(service, init=False, additional_headers=headers):
            pass
    own = headers | {"origin": service.url}
    assert "errors" not in (await client.post("/graphql", json=QUERY, headers=own)).json()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"token": "wrong"}, 401, "UNAUTHENTICATED"),
        ({"token": "record-token-of-the-tests"}, 403, "FORBIDDEN"),
        ({"token": " "}, 400, "BAD_USER_INPUT"),
        ({"token": "é"}, 400, "BAD_USER_INPUT"),
        ({"token": 1}, 400, "BAD_USER_INPUT"),
        ([], 400, "BAD_USER_INPUT"),
        ({"token": "x" * 20_000}, 413, "LIMIT_EXCEEDED"),
    ],
)
async def test_what_is_no_token_to_read_with_signs_nobody_in(
    client: httpx2.AsyncClient, body: object, status: int, code: str
) -> None:
    answer = await client.post("/session", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "set-cookie" not in answer.headers
