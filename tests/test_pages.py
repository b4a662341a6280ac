"""How the page is served: what is cached, compressed and allowed (spec 5, 5.9)."""

import gzip
import re

import httpx2
import pytest

from flowtrail.pages import STATIC

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
BUDGET_BYTES = 200_000

pytestmark = pytest.mark.skipif(not (STATIC / "index.html").is_file(), reason="the page is not built")


def assets(html: str) -> list[str]:
    return re.findall(r'"(/assets/[^"]+)"', html)


async def test_hashed_files_are_compressed_and_cached_for_good(client: httpx2.AsyncClient) -> None:
    index = await client.get("/", headers=HTML)
    assert index.headers["cache-control"] == "no-cache"
    assert assets(index.text)
    for path in assets(index.text):
        packed = await client.get(path, headers={"accept-encoding": "br, gzip"})
        assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["content-type"].startswith("text/css" if path.endswith(".css") else "text/javascript")
        for refusing in ("identity", "gzip;q=0, identity"):
            plain = await client.get(path, headers={"accept-encoding": refusing})
            assert "content-encoding" not in plain.headers
            assert plain.content == packed.content


async def test_the_policy_allows_nothing_inline_and_nobody_else(client: httpx2.AsyncClient) -> None:
    first, second = await client.get("/", headers=HTML), await client.get("/", headers=HTML)
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    (nonce,) = re.findall(r"'nonce-([^']+)'", policy)
    assert f'nonce="{nonce}"' in first.text
    assert nonce not in second.text
    assert "__CSP_NONCE__" not in first.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/flows/a/b", 200),
        ("/flows/a%2Fb/c/statistics?span=1h", 200),
        ("/executions", 200),
        ("/deleted", 200),
        ("/sign-in?to=/graphql", 200),
        ("/somewhere", 404),
    ],
)
async def test_the_page_answers_its_own_addresses(client: httpx2.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "<title>Flowtrail</title>" in answer.text


@pytest.mark.parametrize(
    "path", ["/assets/nothing.js", "/../pages.py", "/%2e%2e/pages.py", "/assets/%2e%2e/%2e%2e/pages.py", "/index.html", "/.stamp"]
)
async def test_there_is_nothing_else(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


async def test_a_browser_gets_graphiql_where_others_are_told_to_post(client: httpx2.AsyncClient) -> None:
    page = await client.get("/graphql", headers=HTML)
    assert "GraphiQL" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for accept in ("application/json", "*/*", "application/graphql-response+json"):
        refused = await client.get("/graphql", headers={"accept": accept})
        assert refused.status_code == 405
        assert refused.headers["allow"] == "POST"
        assert refused.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_the_page_weighs_less_than_its_budget(client: httpx2.AsyncClient) -> None:
    """All it ever loads, what is loaded late too; GraphiQL is a page of its own."""
    index = await client.get("/", headers=HTML)
    weights: dict[str, int] = {}
    left = assets(index.text)
    while left:
        path = left.pop()
        file = await client.get(path)
        assert file.status_code == 200, path
        weights[path] = len(gzip.compress(file.content, 9))
        mentioned = re.findall(r"[\w-]+-[\w-]{8}\.(?:js|css)", file.text)
        left += [f"/assets/{name}" for name in mentioned if f"/assets/{name}" not in weights]
    assert any("StatisticsTab" in path for path in weights)
    assert not any("graphiql" in path for path in weights)
    assert sum(weights.values()) < BUDGET_BYTES, weights
