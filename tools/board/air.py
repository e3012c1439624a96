"""The network around a virtual board: whatever the board connects to or sends a datagram to passes here, and may be disturbed.

A board asks for the address of a host and gets a port of this machine, behind which is a relay to that host. Sockets and TLS stay the
VM's own. A relay that is silent is what a lost access point looks like: nothing passes, nobody is told.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

_READ = 65536
_NTP = 123
_NTP_EPOCH = 2208988800  # seconds from 1900 to 1970
_HTTP_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
_PORTAL = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/sign-in\r\nContent-Type: text/html\r\n"
    b"Content-Length: 28\r\nConnection: close\r\n\r\n<html>Please sign in.</html>"
)


class Air:
    """The network of one board. The attributes may be changed at any time, from any thread.

    `radio`: whether the board's Wi-Fi reaches the access point. `dns`: whether names are resolved. `silent`: nothing passes though the
    Wi-Fi is up. `delay`: seconds that every piece comes late. `dribble`: every byte comes alone. `portal`: a captive portal answers in
    every host's place, plain HTTP with a redirection to its page, and ends all else. `ntp`: whether datagrams to port 123 pass; they go
    to a time server of its own, whatever host they are for.
    """

    def __init__(self) -> None:
        self.radio = True
        self.dns = True
        self.silent = False
        self.delay = 0.0
        self.dribble = False
        self.portal = False
        self.ntp = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ports: dict[tuple[str, int], int] = {}
        self._time_server: tuple[str, int] | None = None
        self._resolving = asyncio.Lock()

    def resolve(self, host: str, port: int, answer: Callable[[str], None]) -> None:
        """Call `answer` with the port of this machine that leads to the host, or with "" when there is none of this name; soon, from
        another thread."""
        self._submit(self._answer(host, port, answer))

    def close(self) -> None:
        """Every connection ends."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = self._time_server = None
            self._ports.clear()

    def _submit(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="air", daemon=True)
            self._thread.start()
        asyncio.run_coroutine_threadsafe(work, self._loop)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda *_: None)  # a connection that breaks is what is played here
        try:
            loop.run_forever()
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            with contextlib.suppress(Exception):
                loop.run_until_complete(asyncio.sleep(0))
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _answer(self, host: str, port: int, answer: Callable[[str], None]) -> None:
        try:
            answer(str(await self._port_to(host, port)))
        except (OSError, UnicodeError):
            answer("")

    async def _port_to(self, host: str, port: int) -> int:
        if not (self.radio and self.dns):
            raise OSError("no name server can be reached")
        async with self._resolving:
            is_ntp = port == _NTP
            address, port = await self._start_time_server() if is_ntp else (await _look_up(host, port), port)
            if (address, port) not in self._ports:
                server = await asyncio.start_server(lambda reader, writer: self._connected(reader, writer, address, port), "127.0.0.1", 0)
                here = int(server.sockets[0].getsockname()[1])
                loop = asyncio.get_running_loop()
                with contextlib.suppress(OSError):  # the number may be taken among the UDP ports: then there is TCP only
                    await loop.create_datagram_endpoint(lambda: _Datagrams(self, address, port, is_ntp), ("127.0.0.1", here))
                self._ports[address, port] = here
            return self._ports[address, port]

    async def _start_time_server(self) -> tuple[str, int]:
        if self._time_server is None:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_TimeServer, ("127.0.0.1", 0))
            self._time_server = transport.get_extra_info("sockname")
        return self._time_server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            if not self.radio:
                writer.transport.abort()
                return
            if self.portal:
                await self._answer_as_portal(reader, writer)
                return
            there, far = await asyncio.open_connection(host, port)
            for one in (writer, far):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(self._carry(reader, far), self._carry(there, writer))
        except OSError:
            pass
        finally:
            writer.transport.abort()
            if far is not None:
                far.transport.abort()

    async def _answer_as_portal(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(_READ)
        await self.passing()
        if asked.split(b" ")[0] in _HTTP_METHODS:
            writer.write(_PORTAL)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ):
            await self.passing()
            if self.portal:
                raise ConnectionResetError
            pieces = [data[at : at + 1] for at in range(len(data))] if self.dribble else [data]
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if self.dribble:
                    await asyncio.sleep(0)
        await self.passing()
        if writer.can_write_eof():
            writer.write_eof()

    async def passing(self) -> None:
        """Wait until a piece may pass."""
        if self.delay:
            await asyncio.sleep(self.delay)
        while self.silent or not self.radio:
            await asyncio.sleep(0.02)


async def _look_up(host: str, port: int) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


class _TimeServer(asyncio.DatagramProtocol):
    """Tells whoever asks this machine's time (RFC 5905 §7.3), as a server whose own clock is exact."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(data) >= 48 and data[0] & 7 == 3:  # a client
            seconds, ns = divmod(time.time_ns(), 10**9)
            now = struct.pack("!II", (seconds + _NTP_EPOCH) & 0xFFFFFFFF, (ns << 32) // 10**9)
            head = struct.pack("!BBBbII4s", data[0] & 0x38 | 4, 1, data[2], -20, 0, 0, b"LOCL")
            self._transport.sendto(head + now + data[40:48] + now + now, address)


class _Datagrams(asyncio.DatagramProtocol):
    """Datagrams to one host, and its answers back to whoever sent last."""

    def __init__(self, air: Air, host: str, port: int, is_ntp: bool) -> None:
        self._air = air
        self._is_ntp = is_ntp
        self._target = (host, port)
        self._near: asyncio.DatagramTransport | None = None
        self._far: dict[Any, asyncio.DatagramTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._near = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        air = self._air
        if air.radio and not air.silent and not air.portal and (air.ntp or not self._is_ntp):  # a datagram is not kept for later
            task = asyncio.get_running_loop().create_task(self._send(data, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, data: bytes, address: Any) -> None:
        await asyncio.sleep(self._air.delay)
        if address not in self._far:
            loop = asyncio.get_running_loop()
            near = self._near
            assert near is not None
            far, _ = await loop.create_datagram_endpoint(lambda: _Answers(self._air, near, address), remote_addr=self._target)
            self._far[address] = far
        self._far[address].sendto(data)


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, air: Air, near: asyncio.DatagramTransport, address: Any) -> None:
        self._air = air
        self._near = near
        self._address = address

    def datagram_received(self, data: bytes, address: Any) -> None:  # noqa: ARG002
        if self._air.radio and not self._air.silent:
            self._near.sendto(data, self._address)
