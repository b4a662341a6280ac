"""One OpenID provider: what its tokens say, and the authorization code flow with PKCE (RFC 7636)."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote_plus

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from flowtrail.errors import ConfigurationError, Unauthenticated, Unavailable
from flowtrail.oidc import claims
from flowtrail.oidc.claims import Demands, Identity, Refused, UnknownKey
from flowtrail.oidc.directory import ANSWER_SECONDS, Directory, check_address, json_at

if TYPE_CHECKING:
    from flowtrail.settings import Settings

log = structlog.get_logger()

_BASIC = "client_secret_basic"
_TIMEOUT = httpx2.Timeout(5.0)


class SignInFailed(Unauthenticated):
    """The provider did not let somebody in; the message may be shown to them."""


class Provider:
    """The provider that the settings name. Nothing is asked of it before it is needed."""

    def __init__(self, issuer: str, settings: Settings) -> None:
        """Raises ConfigurationError when the settings don't fit together."""
        check_address("FLOWTRAIL_OIDC_ISSUER", issuer)
        if not settings.oidc_audience and not settings.oidc_client_id:
            raise ConfigurationError("FLOWTRAIL_OIDC_ISSUER needs FLOWTRAIL_OIDC_AUDIENCE or FLOWTRAIL_OIDC_CLIENT_ID, or both")
        self._issuer = issuer
        self._audience = settings.oidc_audience
        self._client_id = settings.oidc_client_id
        self._servers_claim = settings.oidc_servers_claim
        self._required = dict(_claim(entry) for entry in settings.oidc_required_claims)
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT)
        self._oauth = AsyncOAuth2Client(
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None,
            scope=" ".join(("openid", *(scope for scope in settings.oidc_scopes if scope != "openid"))),
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )
        self._oauth.register_client_auth_method((_BASIC, _show_secret))
        self._directory = Directory(issuer, lambda address: json_at(self._http, address))

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the provider of the settings, or None; raises ConfigurationError."""
        if settings.oidc_issuer:
            return cls(settings.oidc_issuer, settings)
        if settings.oidc_audience or settings.oidc_client_id or settings.oidc_client_secret:
            raise ConfigurationError("FLOWTRAIL_OIDC_ISSUER is missing: it says whose tokens are accepted")
        return None

    @property
    def can_sign_in(self) -> bool:
        """Whether browsers may be sent there: it takes a client."""
        return self._client_id is not None

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._directory.close()
        await self._http.aclose()
        await self._oauth.aclose()

    async def bearer(self, token: str) -> Identity:
        """Return whom an access token speaks of; raises Refused, or Unavailable."""
        if self._audience is None:
            raise Refused("tokens of the OpenID provider are for signing in at the page only")
        return await self._identity(token, self._audience)

    async def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, code_verifier: str) -> str:
        """Return where to send a browser to sign in; raises SignInFailed, or Unavailable."""
        self._client()
        published = await self._directory.published()
        url, _ = self._oauth.create_authorization_url(
            published.authorization_endpoint, state, code_verifier, redirect_uri=redirect_uri, nonce=nonce
        )
        return str(url)

    async def signed_in(self, code: str, redirect_uri: str, *, nonce: str, code_verifier: str) -> Identity:
        """Trade the code that came back for whom it speaks of; raises SignInFailed, Refused, or Unavailable."""
        client_id = self._client()
        published = await self._directory.published()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                tokens = await self._oauth.fetch_token(
                    published.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=code_verifier,
                    auth=self._oauth.client_auth(self._auth_method(published.client_auth_methods)),
                )
        except OAuthError as error:
            log.warning("the OpenID provider refused a code", error=str(error.error)[:100])
            if error.error in ("invalid_client", "unauthorized_client"):
                raise SignInFailed("the provider does not accept this service as its client") from None
            raise SignInFailed("the provider did not accept the code it gave: sign in again") from None
        except httpx2.HTTPStatusError as error:
            if error.response.is_client_error:
                raise SignInFailed("the provider refused to complete the sign-in") from None
            raise Unavailable("the OpenID provider failed to answer") from error
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            raise Unavailable("the OpenID provider can't be reached at the moment") from error
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise SignInFailed("the provider sent no ID token: the scope openid must be allowed for this client")
        return await self._identity(token, client_id, nonce)

    def _client(self) -> str:
        if self._client_id is None:
            raise SignInFailed("this service has no client at its provider to sign in with")
        return self._client_id

    def _auth_method(self, supported: tuple[str, ...]) -> str:
        if not self._oauth.client_secret:
            return "none"
        return "client_secret_post" if "client_secret_basic" not in supported and "client_secret_post" in supported else _BASIC

    async def _identity(self, token: str, audience: str, nonce: str | None = None) -> Identity:
        demands = Demands(self._issuer, audience, self._required, self._servers_claim, nonce)
        published = await self._directory.published(claims.key_id(token))
        try:
            return claims.identity_of(token, published.keys, demands)
        except UnknownKey:
            raise Refused("the token is signed with a key that the OpenID provider does not publish") from None


def _show_secret(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """Basic authentication as RFC 6749, 2.3.1, wants it: both parts encoded like a form, which Authlib leaves out."""
    shown = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(shown.encode()).decode()}"
    return uri, headers, body


def _claim(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    if not name.strip() or not value.strip():
        raise ConfigurationError("FLOWTRAIL_OIDC_REQUIRED_CLAIMS: must be name=value, several separated by commas")
    return name.strip(), value.strip()
