"""Expected errors: what a caller did wrong or must know. Everything else is masked as INTERNAL (spec 2.10).

The message of each says which argument or field and why; `code` is what GraphQL clients find in `extensions.code`.
"""


class FlowtrailError(Exception):
    """Base of all expected errors; its message may be shown to the client."""

    code = "INTERNAL"

    @property
    def message(self) -> str:
        return str(self)


class BadUserInput(FlowtrailError):
    """An argument, cursor or id is wrong; the message names it and the reason."""

    code = "BAD_USER_INPUT"


class NotFound(FlowtrailError):
    """A mutation names something that does not exist."""

    code = "NOT_FOUND"


class Unauthenticated(FlowtrailError):
    """No token, or one that is not valid, where one is needed."""

    code = "UNAUTHENTICATED"


class TooManyAttempts(Unauthenticated):
    """Whoever asks has sent too many wrong tokens; what they send now is not looked at before `retry_after` seconds have passed."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many tokens from this address were not valid: try again in {retry_after} seconds")
        self.retry_after = retry_after


class Forbidden(FlowtrailError):
    """The token is valid but may not do this."""

    code = "FORBIDDEN"


class LimitExceeded(FlowtrailError):
    """A request is larger or dearer than the service allows; the message gives the count and the limit."""

    code = "LIMIT_EXCEEDED"


class Unavailable(FlowtrailError):
    """The database can't be reached or takes no writes at the moment; trying again later may work."""

    code = "UNAVAILABLE"


class TimedOut(FlowtrailError):
    """A statement or request took longer than its limit."""

    code = "TIMEOUT"


class ConfigurationError(FlowtrailError):
    """A setting or the surroundings keep a command from doing its work; the message says what to change."""
