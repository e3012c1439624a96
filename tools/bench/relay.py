"""A relay that counts the bytes that pass."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def relay(port: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """A port that passes connections on to another one of this machine, and a function that gives the bytes that went through so far,
    both ways, once the connections that were made have ended (or after 10 s)."""
    passed = [0]
    lock = threading.Lock()
    threads: list[threading.Thread] = []
    server = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with lock:
                    passed[0] += len(data)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def carry(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as far:
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)  # who asked is gone; a broker may take its time to see that
            back.join(5)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                thread = threading.Thread(target=carry, args=(server.accept()[0],), daemon=True)
                threads.append(thread)
                thread.start()

    def count() -> int:
        for thread in list(threads):
            thread.join(10)
        return passed[0]

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1], count
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes accept()
        server.close()
