"""A small OpenID provider over real HTTP: it signs in whoever is sent to it, and can be told to misbehave.

async with running_provider() as provider:
    settings = {"oidc_issuer": provider.issuer, "oidc_client_id": provider.client_id, "oidc_audience": provider.audience}
    token = provider.access_token()          # a bearer token to read with
    provider.rotate_keys()
"""

import asyncio
import base64
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from support import Server

AUDIENCE = "https://flowtrail.example/api"


@dataclass
class Provider:
    """What the provider knows, and how it is to behave; every field may be set at any time."""

    issuer: str
    client_id: str = "flowtrail-page"
    client_secret: str | None = None
    """Set: the client must show it."""
    client_auth: str | None = None
    """How: the one method that the metadata name; None: they name none, which means HTTP Basic."""
    audience: str = AUDIENCE
    subject: str = "ada"
    """Who signs in."""
    id_claims: dict[str, Any] = field(default_factory=dict)
    """What ID tokens say besides, or instead; None takes a claim out."""
    refuses: str | None = None
    """An error that the browser is sent back with, as `access_denied`."""
    is_down: bool = False
    """Every request is answered with status 503."""
    holds: asyncio.Event | None = None
    """Set to an event: no request is answered before it."""
    requests: list[str] = field(default_factory=list)
    """The paths that were asked for, in order."""
    keys: list[Key] = field(default_factory=list)
    """What it publishes; the last one signs."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The parameters with which each code that was not used yet was given out."""

    def __post_init__(self) -> None:
        self.rotate_keys()

    def rotate_keys(self, *, kind: str = "RSA") -> None:
        """Sign with a new key, and publish it alone."""
        parameters: Any = {"kid": secrets.token_hex(4), "use": "sig"}
        self.keys = [RSAKey.generate_key(2048, parameters) if kind == "RSA" else ECKey.generate_key("P-256", parameters)]

    def access_token(self, **claims: Any) -> str:
        """Return a bearer token, good for five minutes; `claims` are added, replaced, or taken out when None."""
        return self.signed({"aud": self.audience, **claims}, typ="at+jwt")

    def id_token(self, **claims: Any) -> str:
        return self.signed({"aud": self.client_id, **claims, **self.id_claims})

    def signed(self, claims: dict[str, Any], *, key: Key | None = None, **header: Any) -> str:
        """Return `claims`, beside the usual ones, signed with `key` or the latest one."""
        key, now = key or self.keys[-1], int(time.time())
        usual = {"iss": self.issuer, "sub": self.subject, "iat": now, "exp": now + 300}
        content = {name: value for name, value in (usual | claims).items() if value is not None}
        algorithm = "RS256" if key.key_type == "RSA" else "ES256"
        return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, content, key, algorithms=["RS256", "ES256", "HS256"])

    async def answer(self, request: Request) -> Response:
        """Answer any request."""
        self.requests.append(request.url.path)
        if self.holds is not None:
            await self.holds.wait()
        if self.is_down:
            return JSONResponse({"error": "temporarily_unavailable"}, 503)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return JSONResponse(self._metadata())
            case "/keys":
                return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})
            case "/authorize":
                return self._authorize(dict(request.query_params))
            case "/token":
                form = await request.form()
                sent = {name: str(value) for name, value in form.items()}
                return self._tokens(sent, request.headers.get("authorization", ""))
        return Response(status_code=404)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
            **({"token_endpoint_auth_methods_supported": [self.client_auth]} if self.client_auth else {}),
        }

    def _authorize(self, sent: dict[str, str]) -> Response:
        """Consent at once, and send the browser back."""
        wanted = {"response_type": "code", "client_id": self.client_id, "code_challenge_method": "S256"}
        if any(sent.get(name) != value for name, value in wanted.items()) or not sent.get("code_challenge"):
            return JSONResponse({"error": "invalid_request"}, 400)
        if "openid" not in sent.get("scope", "").split():
            return JSONResponse({"error": "invalid_scope"}, 400)
        if self.refuses:
            back = {"error": self.refuses}
        else:
            back = {"code": secrets.token_urlsafe(16)}
            self.codes[back["code"]] = sent
        return RedirectResponse(f"{sent['redirect_uri']}?{urlencode({**back, 'state': sent['state']})}", 303)

    def _tokens(self, sent: dict[str, str], authorization: str) -> Response:
        begun = self.codes.pop(sent.get("code", ""), None)
        if begun is None or sent.get("grant_type") != "authorization_code" or sent.get("redirect_uri") != begun["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if not self._is_client(sent, authorization):
            return JSONResponse({"error": "invalid_client"}, 401)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        tokens = {"access_token": self.access_token(), "token_type": "Bearer", "expires_in": 300}
        return JSONResponse(tokens | {"id_token": self.id_token(nonce=begun.get("nonce"))}, headers={"Cache-Control": "no-store"})

    def _is_client(self, sent: dict[str, str], authorization: str) -> bool:
        if self.client_secret is None:
            return sent.get("client_id") == self.client_id
        if self.client_auth == "client_secret_post":
            return (sent.get("client_id"), sent.get("client_secret")) == (self.client_id, self.client_secret)
        scheme, _, shown = authorization.partition(" ")
        name, _, secret = base64.b64decode(shown).decode().partition(":")
        return (scheme, unquote_plus(name), unquote_plus(secret)) == ("Basic", self.client_id, self.client_secret)


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """A provider that listens on a free port of 127.0.0.1."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        provider = Provider(f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = Starlette(routes=[Route("/{path:path}", provider.answer, methods=["GET", "POST"])])
        server = Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                await asyncio.sleep(0.005)
            yield provider
        finally:
            server.should_exit = True
            await serving
