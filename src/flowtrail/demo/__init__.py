"""`flowtrail demo`: the whole of Flowtrail at work, for somebody who has never seen it (spec 6.1).

stage.py    the service, and everything that must start before it or end after it
shop.py     a sample MCP server, in a process of its own
traffic.py  an MCP client that keeps calling the server's flows

The record is kept in a temporary folder and removed at the end: a demo leaves no trace beside a newcomer's own data, never
grows over the weekend, and starts from the same place after every upgrade. Settings of the user's own service
(DATABASE_URL, FLOWTRAIL_…) have no effect on it, so that it can't write into a database somebody needs.
"""


def run(port: int = 8000) -> None:
    """Run the demo on 127.0.0.1 until SIGINT or SIGTERM, then end every process it started and return.

    Port 0 takes any free one; the address is printed. Raises ConfigurationError when the port is taken, or when there is
    no embedded PostgreSQL for this platform.
    """
    # The sample server is a module of this package, and must not load the service.
    from flowtrail.demo import stage

    stage.run(port)
