"""The service's settings: one frozen object, read from the environment once and passed in (never a global)."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from flowtrail.errors import ConfigurationError
from flowtrail.observability.logs import LogFormat, LogLevel

_SECRETS = {
    "database_url": "DATABASE_URL",
    "database_listen_url": "DATABASE_LISTEN_URL",
    "database_read_url": "DATABASE_READ_URL",
    "record_token": "FLOWTRAIL_RECORD_TOKEN",
    "read_token": "FLOWTRAIL_READ_TOKEN",
    "oidc_client_secret": "FLOWTRAIL_OIDC_CLIENT_SECRET",
}
"""The variables that may also be given as …_FILE, the path of a file with the value."""


def default_data_dir() -> Path:
    """Return the folder that is this user's own; never the working directory."""
    return Path(platformdirs.user_data_dir("flowtrail", appauthor=False))


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads the files that …_FILE variables name, as containers get their secrets."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = _SECRETS.get(field_name, "")
        path = os.environ.get(f"{variable}_FILE") if variable else None
        if not path:
            return None, field_name, False
        if os.environ.get(variable):
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set: keep one")
        try:
            return Path(path).read_text().strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{variable}_FILE names a file that can't be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value}


_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(text: str) -> timedelta:
    """Return the time that text such as `90d` names: a number and m, h, d or w. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None:
        raise ValueError(f"must be a number and m, h, d or w, as in 90d, not {text!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _age(value: Any) -> Any:
    return parse_age(value) if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split_words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


class Settings(BaseSettings):
    """Everything the service may be told. Intervals and timeouts are seconds."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix="FLOWTRAIL_",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    """None: an embedded PostgreSQL in `data_dir`."""
    database_listen_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_LISTEN_URL", "database_listen_url")
    )
    """A direct connection for LISTEN, where `database_url` leads through a pooler; None: the same."""
    database_read_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_READ_URL", "database_read_url")
    )
    """A standby to read from; None: `database_url` is for everything."""
    read_staleness: PositiveFloat = 5.0
    """A standby further behind than this is not read from."""
    data_dir: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(default_factory=default_data_dir)
    record_token: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    """Tokens that may record; several, separated by commas, while they are rotated."""
    read_token: SecretStr | None = None
    """Set: reading needs it."""
    oidc_issuer: str | None = None
    """The address of an OpenID provider whose users may read. Set: nobody reads without a token."""
    oidc_audience: str | None = None
    """What its access tokens must be for; None: they are not accepted."""
    oidc_client_id: str | None = None
    """The page's client at the provider; None: nobody can sign in there."""
    oidc_client_secret: SecretStr | None = None
    """None: a public client."""
    oidc_scopes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_words)] = ("openid",)
    """What is asked for when signing in, besides `openid`."""
    oidc_required_claims: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """name=value: only whose tokens have, or contain, all of these may read."""
    oidc_servers_claim: str | None = None
    """The claim that names the MCP servers a reader is limited to; None: they see all."""
    session_lifetime: PositiveFloat = 12 * 3600.0
    """How long a browser stays signed in that came from the OpenID provider."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Names, in a Host header, of this service; empty: any, but on connections from this machine only its own names."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Other origins whose pages may use this service."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    sweep_interval: PositiveFloat | None = 1.0
    """How often overdue executions are written down as TIMED_OUT; None: never (reads show them as such anyway)."""
    fold_interval: PositiveFloat | None = 1.0
    """How often count deltas are folded; None: never (reads add them up anyway)."""
    feed_retention: PositiveFloat = 24 * 3600.0
    """How long the change feed can be resumed from a cursor."""
    retention: Annotated[timedelta | None, BeforeValidator(_age)] = None
    """Executions that started longer ago are purged; None: nothing is ever deleted by itself (spec 1.11)."""
    request_timeout: PositiveFloat = 10.0
    """How long an operation may take; then it is cancelled, with its SQL."""
    body_timeout: PositiveFloat = 10.0
    """How long the body of a request may take to arrive."""
    streams_per_client: PositiveInt = 1000
    """WebSockets and event streams that one address may hold open."""
    connections_per_client: PositiveInt | None = None
    """Connections of any kind that one address may hold open, a quarter of them before their first request; None: twice as many as
    streams."""
    operations_per_client: PositiveInt = 10
    """Operations that are executed at the same time for one viewer at one address; others of theirs wait."""
    graphql_get: bool = False
    """Whether queries are also answered by GET."""
    introspection: bool = True
    """Whether readers may ask for the schema, and errors suggest names; whoever may not read never gets either."""
    trusted_documents: Literal["also", "only"] = "also"
    """`also`: a document may be sent by its hash; `only`: no other is answered."""
    trusted_documents_file: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] | None = None
    """A manifest of documents beside those of this release."""
    statement_timeout: PositiveFloat = 5.0
    lock_timeout: PositiveFloat = 2.0
    compiled: bool = True
    """Whether documents are compiled; answers are the same."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    """`auto` is text on a terminal and JSON elsewhere."""
    pool_size: int = Field(default=10, ge=1)
    """Connections of each of the two pools, at most."""

    @classmethod
    def load(cls, **given: Any) -> "Settings":
        """Read the environment; what is `given`, as by a command's options, and not None goes first.

        Raises ConfigurationError, which names the variable and shows no value.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = str(first["loc"][0])
            variable = _SECRETS.get(name, name if name.isupper() else f"FLOWTRAIL_{name.upper()}")
            raise ConfigurationError(f"{variable}: {first['msg']}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)
