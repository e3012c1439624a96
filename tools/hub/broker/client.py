"""aiomqtt, made fit to listen to strangers, and to thousands of them.

paho raises out of its read loop when a PUBLISH has properties that break the rules (a user property that is not UTF-8, a NUL in a
name) or a topic that is not one, and aiomqtt then ends the connection. Neither rumqttd nor Mosquitto holds every such packet back,
so one hostile client could cut the hub off whenever it likes. Here such a packet is acknowledged, told of and dropped.

paho also reads a packet with four calls of the system and acknowledges it with one more, and with what it builds of it that takes longer
than storing it. So a client that is given `on_messages` reads as much as there is at once, decodes PUBLISH packets itself (publish.py), and
leaves the rest to paho. Its messages are acknowledged when `acknowledge` says so, not when they arrive; of QoS 2 that is PUBREC, with which
the broker forgets the message. paho would keep it until PUBREL in memory, which goes with the connection.

And aiomqtt waits its whole timeout for an acknowledgement, or for the answer to CONNECT, also when the connection is lost meanwhile. Here
that ends at once; and where no answer to CONNECT comes, or DISCONNECT is not taken, the connection is closed.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Self, TypeVar

import aiomqtt
from paho.mqtt.client import MQTT_ERR_CONN_LOST, MQTT_ERR_PROTOCOL, PUBACK, PUBREC

from tools.hub.broker.publish import Published, Undecodable, decode

log = logging.getLogger("redpoll.hub.mqtt")

T = TypeVar("T")
_LOST = "the connection was lost"
_READ = 256 * 1024  # bytes at once
_PUBLISH = 3  # packet type
_PUBACK = struct.Struct(">BBH")  # and PUBREC


class Client(aiomqtt.Client):
    """An aiomqtt client that drops what cannot be decoded instead of its connection, and calls `on_undecodable` with its size in bytes."""

    def __init__(
        self,
        *args: Any,
        on_undecodable: Callable[[int], None],
        on_messages: Callable[[list[Published]], None] | None = None,
        **options: Any,
    ) -> None:
        """`on_messages` gets all messages, which are then not in `messages`; those not of QoS 0 are to be acknowledged by `acknowledge`."""
        super().__init__(*args, **options)
        self._on_undecodable = on_undecodable
        self._on_messages = on_messages
        self._unread = b""
        self._at_qos_2: set[int] = set()  # packet identifiers of such messages that are not acknowledged yet
        self._paused = False
        paho: Any = self._client
        if on_messages is not None:
            paho.loop_read = self._read
            return
        handle_publish = paho._handle_publish

        def handle_or_drop() -> Any:
            try:
                return handle_publish()
            except Exception as error:  # noqa: BLE001 - paho raises a dozen kinds here, and all mean the same
                packet = bytes(paho._in_packet["packet"])
                packet_id = self._undecodable(paho._in_packet["command"] >> 1 & 3, packet, type(error).__name__)
                return 0 if packet_id is None else paho._send_puback(packet_id)  # who takes QoS 2 has on_messages

        paho._handle_publish = handle_or_drop

    def acknowledge(self, packet_ids: Collection[int]) -> None:
        """The messages with these packet identifiers are stored. They are those of one connection, in the order they came."""
        at_qos_2 = self._at_qos_2
        packets = b"".join([_PUBACK.pack(PUBREC if packet_id in at_qos_2 else PUBACK, 2, packet_id) for packet_id in packet_ids])
        at_qos_2.difference_update(packet_ids)
        if packets:
            self._paho._packet_queue(PUBACK, packets, 0, 1)

    def pause(self) -> None:
        """Read nothing until `resume`: the broker then keeps what comes."""
        if not self._paused and self._paho._sock is not None:
            self._paused = True
            self._loop.remove_reader(self._paho._sock)

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._paho._sock is not None:
            self._paused = False
            self._loop.add_reader(self._paho._sock, self._readable)
            self._loop.call_soon(self._readable)  # TLS may have read what nobody has taken

    async def __aenter__(self) -> Self:
        """In aiomqtt's place, which leaves a connection open that was not answered in time."""
        try:
            return await super().__aenter__()
        except BaseException:
            self._paho._sock_close()
            raise

    async def __aexit__(self, *raised: Any) -> None:
        """In aiomqtt's place, which leaves a connection open that did not take DISCONNECT in time."""
        try:
            await super().__aexit__(*raised)
        finally:
            self._paho._sock_close()

    async def until_lost(self) -> None:
        """Wait until the connection is gone. Raises aiomqtt.MqttError then."""
        await asyncio.wait({self._disconnected})
        raise aiomqtt.MqttError(_LOST) from self._disconnected.exception()

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:
        """In aiomqtt's place: the result, or aiomqtt.MqttError when it does not come in time or not at all any more."""
        waited = asyncio.ensure_future(fut)
        try:
            either: set[asyncio.Future[Any]] = {waited, self._disconnected}
            await asyncio.wait(either, timeout=self.timeout if timeout is None else timeout, return_when=asyncio.FIRST_COMPLETED)
            if waited.done():
                return waited.result()
        finally:
            waited.cancel()
        raise aiomqtt.MqttError(_LOST if self._disconnected.done() else "Operation timed out")

    def _on_disconnect(self, *args: Any) -> None:
        """In aiomqtt's place, which says nothing of a connection that is lost before CONNACK."""
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(_LOST))
        super()._on_disconnect(*args)
        if self._disconnected.done():
            self._disconnected.exception()  # asyncio logs one that nobody asks for, and who is told that the connection was lost does not

    @property
    def _paho(self) -> Any:
        return self._client

    def _readable(self) -> None:
        if self._paused or self._paho._sock is None:
            return
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - as aiomqtt does: whatever it is, the connection is over
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _read(self, _max_packets: int = 1) -> Any:
        """In paho's place: take what there is. Returns paho's error code, 0 when all is well."""
        paho = self._paho
        try:
            data = paho._sock_recv(_READ)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            return paho._loop_rc_handle(MQTT_ERR_CONN_LOST)
        paho._last_bytes_received = time.monotonic()
        data = self._unread + data if self._unread else data
        at, messages, result = 0, [], 0
        while result == 0 and (found := _packet(data, at)) is not None:
            start, end = found
            if start < 0:
                result = MQTT_ERR_PROTOCOL
            elif data[at] >> 4 == _PUBLISH:
                messages.append(self._decoded(data[at], data[start:end]))
            else:
                result = self._leave_to_paho(data[at], data[start:end])
            at = end
        self._unread = data[at:]
        if messages and self._on_messages is not None:
            self._on_messages(messages)
        return result if result == 0 else paho._loop_rc_handle(result)

    def _decoded(self, first: int, packet: bytes) -> Published:
        try:
            published = decode(first, packet)
        except Undecodable as error:
            qos = first >> 1 & 3
            packet_id = self._undecodable(qos, packet, str(error))
            published = Published("", b"", 0 if packet_id is None else qos, False, packet_id or 0, ())
        if published.qos == 2:
            self._at_qos_2.add(published.packet_id)
        return published

    def _leave_to_paho(self, first: int, packet: bytes) -> Any:
        paho = self._paho
        before = paho._in_packet
        paho._in_packet = {**before, "command": first, "remaining_length": len(packet), "packet": bytearray(packet), "pos": 0}
        try:
            return paho._packet_handle()
        finally:
            paho._in_packet = before

    def _undecodable(self, qos: int, packet: bytes, why: str) -> int | None:
        """Tell of it; returns its packet identifier when it must be acknowledged."""
        log.warning("dropped a message that cannot be decoded (%s)", why)
        self._on_undecodable(len(packet))
        return _packet_id(qos, packet)


def _packet(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the content of the packet that begins here starts and ends; None while it is not whole, (-1, 0) when its length is none."""
    length, shift, start = 0, 0, at + 1
    while True:
        if start >= len(data):
            return None
        digit = data[start]
        length |= (digit & 0x7F) << shift
        start += 1
        if digit < 0x80:
            break
        shift += 7
        if shift > 21:
            return -1, 0
    return (start, start + length) if start + length <= len(data) else None


def _packet_id(qos: int, packet: bytes) -> int | None:
    """The packet identifier of a PUBLISH (MQTT 5.0 §3.3.2.2); None at QoS 0."""
    if qos == 0 or len(packet) < 2:
        return None
    at = 2 + int.from_bytes(packet[:2], "big")
    return int.from_bytes(packet[at : at + 2], "big") if len(packet) >= at + 2 else None
