"""Hypothesis as this suite uses it: the same examples in every run, or fresh and more of them when FLOWTRAIL_TEST_EXAMPLES says so.

Examples share the test's database; each takes a server name of its own from `fresh_server`, and looks at nothing else.
"""

import os
import uuid

from hypothesis import HealthCheck, settings

_FACTOR = int(os.environ.get("FLOWTRAIL_TEST_EXAMPLES", "0"))


def examples(count: int) -> settings:
    """Return the settings for `count` examples; FLOWTRAIL_TEST_EXAMPLES=10 makes that ten times as many, at random."""
    return settings(
        max_examples=count * max(_FACTOR, 1),
        deadline=None,
        derandomize=not _FACTOR,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def fresh_server() -> str:
    """Return a server name that nothing else uses."""
    return f"server-{uuid.uuid4().hex[:12]}"
