"""Readers who come from an OpenID provider: bearer tokens it made, and signing in at it (spec 5.10).

Authlib speaks OAuth 2.0 and joserfc checks signatures; what is allowed, and what is kept for how long, is decided here.
"""

from flowtrail.oidc.claims import Identity
from flowtrail.oidc.provider import Provider, SignInFailed

__all__ = ["Identity", "Provider", "SignInFailed"]
