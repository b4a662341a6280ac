"""What a command needs before it can begin."""

from importlib.util import find_spec

from flowtrail.errors import ConfigurationError

_OF_THE_SERVICE = ("alembic", "asyncpg", "fastapi", "pydantic_settings", "sqlalchemy", "strawberry", "structlog", "uvicorn")


def service(command: str) -> None:
    """Raise ConfigurationError, which says what to install, unless the service is installed beside the wrapper."""
    if not all(find_spec(module) for module in _OF_THE_SERVICE):
        raise ConfigurationError(f"`flowtrail {command}` needs the service: pip install 'flowtrail[server]'")
