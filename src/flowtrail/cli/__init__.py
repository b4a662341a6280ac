"""The `flowtrail` command: thin, every decision lies in the modules it calls (spec 6.2).

Exit codes: 0 when the work was done, 1 when it could not be (one line on standard error says why), 2 for wrong usage.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError

from flowtrail.cli import access, bench, counts, database, feed, flows, recording, serving
from flowtrail.errors import BadUserInput, FlowtrailError

app = App(
    name="flowtrail",
    help="The record of every execution of an MCP server's flows, served over GraphQL.",
    version=lambda: version("flowtrail"),
    help_format="markdown",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (
    serving.serve,
    serving.demo,
    serving.export_schema,
    database.migrate,
    database.purge,
    counts.recount,
    recording.proxy,
    bench.bench,
):
    app.command(command)
for commands in (flows.app, access.app, recording.spool_app, feed.app):
    app.command(commands)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: Sequence[str] | None) -> int:
    try:
        return app(arguments, exit_on_error=False) or 0
    except CycloptsError:
        return 2
    except FlowtrailError as error:
        print(f"flowtrail: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, BadUserInput) else 1
    except KeyboardInterrupt:
        return 130
