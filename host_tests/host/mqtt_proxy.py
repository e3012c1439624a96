"""A proxy between MQTT clients and a broker that sees packets: it counts them, loses one, or holds some back."""

import select
import socket
from collections import Counter
from types import TracebackType
from typing import Self

from listening import listening
from mqtt_packets import split

PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 3, 4, 5, 6, 7
UP, DOWN = "up", "down"  # to the broker, to the client
_QUIET_SECONDS = 0.03


class Proxy:
    """Forwards to `broker` on a port of its own.

    `lose=(direction, packet type)`: the first packet like that is not forwarded, both sides' connections end instead; whatever comes
    after it passes. `hold`: acknowledgements in that direction wait until nothing else has come for a moment, so that the sender of
    the messages fills its window.
    """

    def __init__(self, broker: int, lose: tuple[str, int] | None = None, hold: str = "") -> None:
        self._broker = broker
        self._lose = lose
        self._hold = hold
        # packets that were forwarded, in their order: (direction, first byte, the whole packet)
        self.seen: list[tuple[str, int, bytes]] = []
        # the packet that was not
        self.lost = b""
        # most messages of one direction that waited for their acknowledgement
        self.most: Counter[str] = Counter()
        self._server = listening(self._connection)
        self.port = 0

    def published(self) -> list[tuple[bytes, bool]]:
        """What was forwarded from clients as PUBLISH at QoS 1 and 2: (packet without its first byte, DUP)."""
        return [(packet[1:], bool(first & 8)) for way, first, packet in self.seen if way == UP and first >> 4 == PUBLISH and first & 6]

    def __enter__(self) -> Self:
        self.port = self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.__exit__(kind, error, trace)

    def _connection(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._broker)) as broker:
            ways = {client: (UP, broker), broker: (DOWN, client)}
            rest = {client: b"", broker: b""}
            held: list[tuple[socket.socket, str, bytes]] = []
            waiting: Counter[str] = Counter()
            for sock in ways:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                readable = select.select(list(ways), [], [], _QUIET_SECONDS if held else None)[0]
                if not readable:
                    for target, way, packet in held:
                        self._forward(target, way, packet, waiting)
                    held.clear()
                for sock in readable:
                    way, target = ways[sock]
                    data = sock.recv(65536)
                    if not data:
                        return
                    packets, rest[sock] = split(rest[sock] + data)
                    for packet in packets:
                        if self._lose == (way, packet[0] >> 4):
                            self._lose = None
                            self.lost = packet
                            return
                        if way == self._hold and PUBACK <= packet[0] >> 4 <= PUBCOMP and packet[0] >> 4 != PUBREL:
                            held.append((target, way, packet))
                        else:
                            self._forward(target, way, packet, waiting)

    def _forward(self, target: socket.socket, way: str, packet: bytes, waiting: Counter[str]) -> None:
        kind = packet[0] >> 4
        self.seen.append((way, packet[0], packet))
        if kind == PUBLISH and packet[0] & 6:
            waiting[way] += 1
            self.most[way] = max(self.most[way], waiting[way])
        elif kind in (PUBACK, PUBCOMP):
            waiting[DOWN if way == UP else UP] -= 1
        target.sendall(packet)
