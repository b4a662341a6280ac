"""The proxy as the command line runs it: `proxy.py [--server NAME] [--upstream-url URL] [--header K:V] [--listen
HOST:PORT] [-- COMMAND…]`.
"""

import argparse
import sys

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.proxy import run_proxy

parser = argparse.ArgumentParser()
for option in ("--server", "--upstream-url", "--listen"):
    parser.add_argument(option)
parser.add_argument("--header", action="append", default=[])
parser.add_argument("command", nargs="*")
arguments = parser.parse_args()
try:
    code = run_proxy(
        arguments.command,
        server=arguments.server,
        upstream_url=arguments.upstream_url,
        headers=arguments.header,
        listen=arguments.listen,
    )
except ConfigurationError as error:
    sys.exit(str(error))
sys.exit(code)
