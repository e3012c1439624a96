"""TCP ports: which are free, and whether something answers there."""

import asyncio
import contextlib
import errno
import secrets
import socket

# below the ports that Linux and macOS give to connections: one of those would be in the way of a server that comes back
_PORTS = range(20_000, 32_768)

# UDP sockets, one for each port that this process was given last: while one is open, no other process of ours is given the same
_held: list[socket.socket] = []
_HELD_MAX = 64


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on, that no connection begins from, and that no other process of ours was given lately.

    Raises OSError for a host that is not this machine's.
    """
    while True:
        port = secrets.choice(_PORTS)
        try:
            socket.create_server((host, port), family=_family(host)).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        holder = socket.socket(_family(host), socket.SOCK_DGRAM)
        try:
            holder.bind((host, port))
        except OSError:
            holder.close()
            continue
        _held.append(holder)
        if len(_held) > _HELD_MAX:
            _held.pop(0).close()
        return port


def is_free(host: str, port: int) -> bool:
    """Whether something could listen there."""
    try:
        with socket.create_server((host, port), family=_family(host)):
            return True
    except OSError:
        return False


async def answers(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def here(host: str) -> str:
    """Where this machine reaches what listens on this host."""
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
