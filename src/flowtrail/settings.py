"""The service's settings: one frozen object, read from the environment once and passed in (never a global)."""

import os
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, PositiveFloat, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from flowtrail.errors import ConfigurationError

_SECRETS = {
    "database_url": "DATABASE_URL",
    "database_listen_url": "DATABASE_LISTEN_URL",
    "record_token": "FLOWTRAIL_RECORD_TOKEN",
    "read_token": "FLOWTRAIL_READ_TOKEN",
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


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


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
    data_dir: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(default_factory=default_data_dir)
    record_token: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    """Tokens that may record; several, separated by commas, while they are rotated."""
    read_token: SecretStr | None = None
    """Set: reading needs it."""
    sweep_interval: PositiveFloat | None = 1.0
    """How often overdue executions are written down as TIMED_OUT; None: never (reads show them as such anyway)."""
    fold_interval: PositiveFloat | None = 1.0
    """How often count deltas are folded; None: never (reads add them up anyway)."""
    feed_retention: PositiveFloat = 24 * 3600.0
    """How long the change feed can be resumed from a cursor."""
    statement_timeout: PositiveFloat = 5.0
    lock_timeout: PositiveFloat = 2.0
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
