"""From a signed token to who it speaks of: signature, issuer, audience, times, and what this service asks for besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from flowtrail.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joserfc.jwk import KeySet

LEEWAY_SECONDS = 30
"""By how much the provider's clock may differ from ours."""
MAX_TOKEN_CHARACTERS = 16 * 1024
_MAX_HEADER_BYTES = 4096
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Asymmetric ones alone: with `none` or HS256 anybody who knows the public key could sign."""
_TYPES = ("jwt", "at+jwt", "application/at+jwt")
"""Values of `typ`, where there is one: other tokens of the same provider, as those of a logout, are not to be read with."""
_BOOLEANS = {"true": (True,), "false": (False,)}
"""How a setting, which is text, names them."""

_MALFORMED = (JoseError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What the library may raise for bytes that somebody made up."""


class _Registry(jws.JWSRegistry):
    max_header_length = _MAX_HEADER_BYTES  # some providers put certificates there


_REGISTRY = _Registry(algorithms=_ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks of."""

    subject: str
    servers: frozenset[str] | None
    """The MCP servers they are limited to; None: all."""


class UnknownKey(Exception):
    """The token is signed with a key that is not among those given."""


class Refused(Unauthenticated):
    """The token can't be trusted; the message says why and quotes nothing of it."""


class Expired(Refused):
    """The token was good once."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a token must say. `required` are claims and a value each must have or contain."""

    issuer: str
    audience: str
    required: Mapping[str, str]
    servers_claim: str | None
    nonce: str | None = None


def key_id(token: str) -> str | None:
    """Return the `kid` of a token, which nothing vouches for yet; raises Refused when it can't be a token of ours."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Refused(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY).protected
    except _MALFORMED:
        raise Refused("the token is not a signed JSON Web Token") from None
    if header.get("alg") not in _ALGORITHMS:
        raise Refused("the token is not signed with an algorithm that is accepted")
    found = header.get("kid")
    return found if isinstance(found, str) else None


def identity_of(token: str, keys: KeySet, demands: Demands) -> Identity:
    """Return whom `token` speaks of; raises Refused, or UnknownKey. Call `key_id` first: it bounds the token."""
    try:
        verified = jwt.decode(token, keys, registry=_REGISTRY)
        _registry_of(demands).validate(verified.claims)
    except InvalidKeyIdError:
        raise UnknownKey from None
    except ExpiredTokenError:
        raise Expired("the token has expired") from None
    except JoseError as error:
        raise Refused(f"the token is not valid: {_reason(error)}") from None
    except _MALFORMED:
        raise Refused("the token is not valid: its signature can't be checked") from None
    kind = verified.header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Refused("the token is not valid: it is of another type than a reader's")
    _check_authorized_party(verified.claims, demands)
    return Identity(verified.claims["sub"], _servers(verified.claims, demands.servers_claim))


def _registry_of(demands: Demands) -> JWTClaimsRegistry:
    options: dict[str, Any] = {
        "iss": {"essential": True, "value": demands.issuer},
        "aud": {"essential": True, "value": demands.audience},
        "exp": {"essential": True},
        "sub": {"essential": True},
    }
    for name, value in demands.required.items():
        options[name] = {"essential": True, "values": [value, *_BOOLEANS.get(value, ())]}
    if demands.nonce is not None:
        options["nonce"] = {"essential": True, "value": demands.nonce}
    return JWTClaimsRegistry(leeway=LEEWAY_SECONDS, **options)


def _reason(error: JoseError) -> str:
    """The name of a claim or a kind of mistake, in the library's words; never a value."""
    claim = getattr(error, "claim", None)
    return f"the claim {claim} is missing or has another value" if claim else error.error.replace("_", " ")


def _check_authorized_party(claims: Mapping[str, Any], demands: Demands) -> None:
    """An ID token for several audiences says which of them it was made for (OpenID Connect Core 3.1.3.7)."""
    if demands.nonce is None:
        return
    party = claims.get("azp")
    if party is None and isinstance(claims["aud"], list) and len(claims["aud"]) > 1:
        raise Refused("the token is not valid: it has several audiences and no azp")
    if party is not None and party != demands.audience:
        raise Refused("the token is not valid: it was made for another client")


def _servers(claims: Mapping[str, Any], name: str | None) -> frozenset[str] | None:
    """The servers that a claim limits the reader to. Where one is expected and missing nothing may be read."""
    if name is None:
        return None
    value: str | Sequence[Any] | None = claims.get(name)
    servers = [value] if isinstance(value, str) else value
    if not isinstance(servers, list) or not servers or not all(isinstance(server, str) and server for server in servers):
        raise Refused(f"the token is not valid: the claim {name} must name the servers that may be seen")
    return None if "*" in servers else frozenset(servers)
