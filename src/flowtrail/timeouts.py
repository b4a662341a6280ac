"""When an execution that does not end counts as timed out (spec 1.7): for who writes it down and who reads it before that."""

from datetime import timedelta

DEFAULT_TIMEOUT_MS = 5 * 60 * 1000
"""Of a flow that says nothing."""
GRACE = timedelta(seconds=30)
"""A deadline is never nearer than this to the moment the service received the start."""
TIMED_OUT_MESSAGE = "The timeout of the flow passed before the execution ended."
"""The error message of every timed-out execution; a constant, since readers search in it too."""
UNFINISHED_NODE_ERROR = "The execution ended before this node did."
"""What a node says that was pending when its execution ended, after the execution's kind."""
