"""A TCP server for a test, which leaves nothing behind."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port of this machine. `talk` is called with each connection to it, in a thread of its own; with its end, or an OSError, the
    connection ends too.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def one(link: socket.socket) -> None:
        with contextlib.suppress(OSError), link:
            talk(link)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        # a thread that still waited in accept() could take the connections of the next server that has this file's number
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.close()
