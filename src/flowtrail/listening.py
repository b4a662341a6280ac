"""The socket that a server of ours listens on, taken before anything is started."""

import socket

from flowtrail.errors import ConfigurationError


def listener(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises ConfigurationError when the address can't be had.

    It says that it speaks TCP, which `socket.create_server` leaves open: only then does asyncio turn off the delaying of small
    packets, which would cost every response 40 ms.
    """
    opened = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(2048)
    except (OSError, OverflowError) as error:
        if opened is not None:
            opened.close()
        raise ConfigurationError(f"can't listen on {host}, port {port}: {error}; choose another with --port") from error
    return opened
