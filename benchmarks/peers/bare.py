"""The baseline of `flowtrail bench`, as a peer: asyncpg and orjson in an ASGI function under uvicorn.

DATABASE_URL=postgresql://… python benchmarks/peers/bare.py
"""

import os

import uvloop

from flowtrail.bench.bare import serve

uvloop.run(serve(os.environ["DATABASE_URL"]))
