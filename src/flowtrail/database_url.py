"""DATABASE_URL in every spelling in use, translated once into what asyncpg takes (docs/operations.md)."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from flowtrail.errors import ConfigurationError

_SCHEMES = {f"{name}{driver}" for name in ("postgres", "postgresql") for driver in ("", "+asyncpg", "+psycopg", "+psycopg2")}
_TRANSLATED = {"ssl": "sslmode", "database": "dbname"}
_PASSED_ON = {
    *(
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "passfile",
        "service",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
    ),
    *("sslmode", "sslnegotiation", "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    *("application_name", "options", "search_path"),
}
_FILES = {"sslrootcert", "sslcert", "sslkey", "sslcrl"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_WITHOUT_EFFECT = {
    *(
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "client_encoding",
    ),
    *("fallback_application_name", "sslcompression", "sslsni", "gssencmode", "load_balance_hosts", "pgbouncer"),
    *("prepared_statement_cache_size", "async_fallback"),
}
"""What says how libpq, or another driver, does its work, and changes neither the server nor who may read along."""


@dataclass(frozen=True)
class DatabaseUrl:
    """Where the database is; not to be shown, as `dsn` may hold a password."""

    dsn: str
    """A URL for asyncpg's `connect` and `create_pool`."""
    connect_timeout: float | None
    """Seconds an attempt to connect may take; None: the driver's own limit."""

    def __repr__(self) -> str:
        return "DatabaseUrl(…)"


def parse(url: str, *, name: str = "DATABASE_URL") -> DatabaseUrl:
    """Translate `url`; raises ConfigurationError, which blames the variable `name` and never shows a password."""
    try:
        parts = urlsplit(url.strip())
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL of the form {_FORM}") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"{name} is not a PostgreSQL URL: expected {_FORM}")
    if parts.fragment or url.strip().endswith("#"):
        raise ConfigurationError(f"{name} has a '#': write it as %23, and percent-encode '/', '?' and '@' in passwords too")
    parameters = {_TRANSLATED.get(key, key): value for key, value in given.items()}
    timeout = _connect_timeout(parameters.pop("connect_timeout", None), name)
    query = urlencode(_checked(parameters, name), quote_via=quote)
    location = _location(parts.netloc, name)
    return DatabaseUrl(f"postgresql://{location}{parts.path}{'?' if query else ''}{query}", timeout)


_FORM = "postgresql://user:password@host:port/database"


def _location(netloc: str, name: str) -> str:
    """Return the part between `//` and `/`, with user and password encoded as asyncpg reads them."""
    authority, at, hosts = netloc.rpartition("@")
    for host in hosts.split(","):
        port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
        if port and not port.isdecimal():
            raise ConfigurationError(f"{name} has a port that is not a number: percent-encode ':', '/' and '@' in passwords")
    user, colon, password = authority.partition(":")
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}{at}{hosts}"


def _checked(parameters: dict[str, str], name: str) -> dict[str, str]:
    """Return the parameters asyncpg is to get; raises ConfigurationError for those it would misunderstand."""
    for key, value in parameters.items():
        if key in _FILES and not Path(value).expanduser().is_file():
            raise ConfigurationError(f"{name}: the file that {key} names does not exist or can't be read")
        if key == "sslmode" and value not in _SSL_MODES:
            raise ConfigurationError(f"{name}: sslmode must be one of {', '.join(_SSL_MODES)}")
        if key == "port" and not all(port.isdecimal() for port in value.split(",")):
            raise ConfigurationError(f"{name}: port must be a number")
        if key == "channel_binding" and value == "require":
            raise ConfigurationError(f"{name}: channel_binding=require is not supported; sslmode=verify-full protects as well")
        if key not in _PASSED_ON | _FILES | _WITHOUT_EFFECT | {"channel_binding"}:
            raise ConfigurationError(f"{name} has a parameter that Flowtrail does not know: {key}")
    return {
        key: str(Path(value).expanduser()) if key in _FILES else value
        for key, value in parameters.items()
        if key in _PASSED_ON | _FILES
    }


def _connect_timeout(value: str | None, name: str) -> float | None:
    """As libpq: zero, negative and missing mean no limit of the user's."""
    try:
        seconds = float(value or 0)
    except ValueError:
        raise ConfigurationError(f"{name}: connect_timeout must be a number of seconds") from None
    return seconds if seconds > 0 else None
