"""A network that fails: a TCP proxy in front of a broker. What it does to the next connections is planned beforehand."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

from mqtt_packets import packet_end


class Ends(Exception):
    """The connection ends here, both ways."""


class Way:
    """One direction of a connection, on which bytes pass as they come. The others are ways to fail; each is for one connection."""

    # after so many bytes it happens; None: it is not a matter of one place
    at: int | None = None
    # has it happened?
    happened = False
    # how the connection ends: with an RST instead of a FIN
    reset = False
    # from now on nothing passes, in neither direction
    silent = False

    async def passes(self, data: bytes) -> AsyncIterator[bytes]:
        """What the other side gets of these bytes, piece by piece."""
        yield data

    def happens(self) -> bytes:
        """`at` bytes have passed: what is put in here; or Ends."""
        return b""


class Late(Way):
    """Every piece comes so many seconds late."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def passes(self, data: bytes) -> AsyncIterator[bytes]:
        await asyncio.sleep(self.seconds)
        yield data


class Dribble(Way):
    """Every byte comes alone."""

    async def passes(self, data: bytes) -> AsyncIterator[bytes]:
        for at in range(len(data)):
            yield data[at : at + 1]
            await asyncio.sleep(0)


class Cut(Way):
    """The connection breaks after `at` bytes."""

    def __init__(self, at: int, reset: bool = False) -> None:
        self.at = at
        self.reset = reset

    def happens(self) -> bytes:
        raise Ends


class Silence(Way):
    """After `at` bytes nothing passes any more, in neither direction, and nobody is told."""

    def __init__(self, at: int) -> None:
        self.at = at

    def happens(self) -> bytes:
        self.silent = True
        return b""


class Stall(Way):
    """After `at` bytes nothing is taken any more, so that the sender's buffers fill."""

    def __init__(self, at: int) -> None:
        self.at = at

    async def passes(self, data: bytes) -> AsyncIterator[bytes]:
        yield data
        if self.happened:
            await asyncio.Event().wait()


class Garbage(Way):
    """After `at` bytes come some that nobody has sent."""

    def __init__(self, at: int, seed: int) -> None:
        self.at = at
        chance = random.Random(seed)
        self.junk = chance.randbytes(chance.randrange(1, 30))

    def happens(self) -> bytes:
        return self.junk


class Packets(Way):
    """MQTT packets pass whole; `seen(first byte, body)` says how often each comes."""

    def __init__(self, seen: Callable[[int, bytes], int]) -> None:
        self.seen = seen
        self.rest = b""

    async def passes(self, data: bytes) -> AsyncIterator[bytes]:
        self.rest += data
        out = bytearray()
        at = 0
        while (end := packet_end(self.rest, at)) is not None:
            head, stop = end
            out += self.rest[at:stop] * self.seen(self.rest[at], self.rest[head:stop])
            at = stop
        self.rest = self.rest[at:]
        yield bytes(out)


def twice(*kinds: int) -> Packets:
    """A way on which each packet of these types comes twice."""
    return Packets(lambda first, body: 2 if first >> 4 in kinds else 1)


class Link:
    """One connection through the network."""

    def __init__(self, up: Way, down: Way) -> None:
        self.up = up
        self.down = down
        # bytes that have passed
        self.passed = {up: 0, down: 0}
        self.over = False
        self.writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Carry bytes one way until their source ends; what comes after the connection is over goes nowhere."""
        try:
            await self._place(writer, way)
            while data := await reader.read(65536):
                async for piece in way.passes(data):
                    await self._write(writer, way, piece)
            if not self.over:
                writer.write_eof()
        except OSError:
            self._end(True)

    async def _write(self, writer: asyncio.StreamWriter, way: Way, piece: bytes) -> None:
        before = self.passed[way]
        if way.at is None or way.happened or before + len(piece) < way.at:
            await self._send(writer, way, piece)
            return
        await self._send(writer, way, piece[: way.at - before])
        await self._place(writer, way)
        await self._send(writer, way, piece[way.at - before :])

    async def _place(self, writer: asyncio.StreamWriter, way: Way) -> None:
        if way.at is None or way.happened or self.passed[way] < way.at:
            return
        way.happened = True
        try:
            writer.write(way.happens())
            await writer.drain()
        except Ends:
            self._end(way.reset)

    async def _send(self, writer: asyncio.StreamWriter, way: Way, piece: bytes) -> None:
        if self.over or self.up.silent or self.down.silent:
            return
        self.passed[way] += len(piece)
        writer.write(piece)
        await writer.drain()

    def _end(self, reset: bool) -> None:
        self.over = True
        for writer in self.writers:
            if writer.transport.is_closing():
                continue
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.write_eof()


class Network:
    """Listens on `port` of this machine and carries each connection to the broker's, in a thread of its own."""

    def __init__(self, broker: int) -> None:
        self.broker = broker
        self.port = 0
        # the connections that there were, oldest first
        self.links: list[Link] = []
        # gives the ways of a connection when none are planned
        self.default: Callable[[], tuple[Way, Way]] = lambda: (Way(), Way())
        self._plan: deque[tuple[Way, Way]] = deque()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def plan(self, up: Way | None = None, down: Way | None = None) -> None:
        """What happens to the next connection that nothing is planned for."""
        self._plan.append((up or Way(), down or Way()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(*(self._plan.popleft() if self._plan else self.default()))
        self.links.append(link)
        try:
            there, onwards = await asyncio.open_connection("127.0.0.1", self.broker)
        except OSError:
            writer.close()
            return
        link.writers = [writer, onwards]
        with contextlib.suppress(asyncio.CancelledError):  # the network is taken down
            await asyncio.gather(link.carry(reader, onwards, link.up), link.carry(there, writer, link.down))
        for one in link.writers:
            one.close()
