"""Signing in at the OpenID provider from the page: authorization code with PKCE (spec 5.10).

Nothing is kept here meanwhile. The browser holds one secret in a short-lived cookie; state, nonce and code verifier are made
from it, so what comes back belongs to this browser, and to the address it wanted to go to, or is refused. Any process can
complete what another began.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode

import structlog
from starlette.responses import RedirectResponse, Response

from flowtrail.errors import FlowtrailError
from flowtrail.oidc import SignInFailed
from flowtrail.session import SIGN_IN_PATH, set_cookie
from flowtrail.throttling import client_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

    from flowtrail.auth import Access

log = structlog.get_logger()

_CALLBACK_PATH = f"{SIGN_IN_PATH}/callback"
_COOKIE = "flowtrail_sign_in"
_COOKIE_SECONDS = 600
_MAX_ADDRESS = 3000
"""Bytes in the cookie, of which browsers keep 4,096."""
_SEE_OTHER = 303


def mount(app: FastAPI) -> None:
    """Add the two addresses of the flow: where it begins, and where the provider sends the browser back to."""
    app.add_route(SIGN_IN_PATH, _begin, methods=["GET"], include_in_schema=False)
    app.add_route(_CALLBACK_PATH, _complete, methods=["GET"], include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One browser's way to the provider and back."""

    secret: str
    to: str
    """The address in the page that they came from."""

    @classmethod
    def of(cls, cookie: str | None) -> _Attempt:
        secret, _, to = (cookie or "").partition(".")
        if not secret:
            raise SignInFailed("the sign-in took too long, or was begun in another browser: try again")
        return cls(secret, _local(unquote(to)))

    @property
    def cookie(self) -> str:
        return f"{self.secret}.{quote(self.to, safe='')}"

    @property
    def state(self) -> str:
        return self._derived("state", self.to)

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def code_verifier(self) -> str:
        return self._derived("code verifier")

    def _derived(self, *purpose: str) -> str:
        made = hmac.digest(self.secret.encode(), "\n".join(purpose).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


async def _begin(request: Request) -> Response:
    """GET /session/oidc?to=/path: send the browser to the provider."""
    access: Access = request.app.state.service.access
    attempt = _Attempt(secrets.token_urlsafe(32), _local(request.query_params.get("to", "/")))
    try:
        url = await access.sign_in_url(
            _redirect_uri(request), state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.code_verifier
        )
    except FlowtrailError as error:
        return _back(request, error)
    response = _redirect(url)
    _set_attempt(response, request, attempt.cookie, _COOKIE_SECONDS)
    return response


async def _complete(request: Request) -> Response:
    """GET /session/oidc/callback?code=…&state=…: sign the browser in, and send it to where it came from."""
    access: Access = request.app.state.service.access
    try:
        attempt = _Attempt.of(request.cookies.get(_COOKIE))
        token = await access.sign_in(
            client_of(request),
            _code(request, attempt),
            _redirect_uri(request),
            nonce=attempt.nonce,
            code_verifier=attempt.code_verifier,
        )
    except FlowtrailError as error:
        return _back(request, error)
    response = _redirect(attempt.to)
    set_cookie(response, request, token, access.session_seconds)
    _set_attempt(response, request, "", 0)
    return response


def _code(request: Request, attempt: _Attempt) -> str:
    """Return the code that came back, if it came back to who began."""
    if not hmac.compare_digest(request.query_params.get("state", "").encode(), attempt.state.encode()):
        raise SignInFailed("the sign-in was begun elsewhere, or twice: try again")
    if "error" in request.query_params:
        was_declined = request.query_params["error"] == "access_denied"
        raise SignInFailed("the provider did not allow it" if was_declined else "the provider could not sign you in")
    code = request.query_params.get("code")
    if not code:
        raise SignInFailed("the provider sent no code")
    return code


def _redirect_uri(request: Request) -> str:
    return str(request.url.replace(path=_CALLBACK_PATH, query="", fragment=""))


def _local(to: str) -> str:
    r"""`to` if it is an address of this page, or the first page: never another site's, as //host or /\host would be."""
    is_local = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return to if is_local and len(quote(to, safe="")) <= _MAX_ADDRESS else "/"


def _back(request: Request, error: FlowtrailError) -> Response:
    log.info("sign-in failed", client=client_of(request), code=error.code, reason=error.message)
    response = _redirect(f"/?{urlencode({'signInError': error.message})}")
    _set_attempt(response, request, "", 0)
    return response


def _redirect(url: str) -> Response:
    return RedirectResponse(url, _SEE_OTHER, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _set_attempt(response: Response, request: Request, value: str, max_age: int) -> None:
    """Lax: the browser must send it when the provider sends it back."""
    secure = request.url.scheme == "https"
    response.set_cookie(_COOKIE, value, max_age, path=SIGN_IN_PATH, httponly=True, samesite="lax", secure=secure)
