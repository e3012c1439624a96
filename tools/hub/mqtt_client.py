"""aiomqtt, made fit to listen to strangers.

paho raises out of its read loop when a PUBLISH has properties that break the rules (a user property that is not UTF-8, a NUL in a
name) or a topic that is not one, and aiomqtt then ends the connection. Neither rumqttd nor Mosquitto holds every such packet back,
so one hostile client could cut the hub off whenever it likes. Here such a packet is acknowledged, told of and dropped.
"""

import logging
from collections.abc import Callable
from typing import Any

import aiomqtt

log = logging.getLogger("redpoll.hub.mqtt")


class Client(aiomqtt.Client):
    """An aiomqtt client that drops what cannot be decoded instead of its connection, and calls `on_undecodable` with its size in bytes."""

    def __init__(self, *args: Any, on_undecodable: Callable[[int], None], acknowledge_later: bool = False, **options: Any) -> None:
        """`acknowledge_later`: a QoS 1 message is acknowledged by `acknowledge`, not when it arrives."""
        super().__init__(*args, **options)
        self._client.manual_ack_set(acknowledge_later)
        paho: Any = self._client
        handle_publish = paho._handle_publish

        def handle_or_drop() -> Any:
            try:
                return handle_publish()
            except Exception as error:  # noqa: BLE001 - paho raises a dozen kinds here, and all mean the same
                packet = bytes(paho._in_packet["packet"])
                log.warning("dropped a message that cannot be decoded (%s)", type(error).__name__)
                on_undecodable(len(packet))
                qos = paho._in_packet["command"] >> 1 & 3
                packet_id = _packet_id(qos, packet)
                if packet_id is None:
                    return 0
                # at QoS 2 a PUBREL follows, which paho completes also for a message that it does not have
                return paho._send_pubrec(packet_id) if qos == 2 else paho._send_puback(packet_id)

        paho._handle_publish = handle_or_drop

    def acknowledge(self, packet_id: int) -> None:
        """The QoS 1 message with this packet identifier is stored."""
        self._client.ack(packet_id, 1)


def _packet_id(qos: int, packet: bytes) -> int | None:
    """The packet identifier of a PUBLISH (MQTT 5.0 §3.3.2.2); None at QoS 0."""
    if qos == 0 or len(packet) < 2:
        return None
    at = 2 + int.from_bytes(packet[:2], "big")
    return int.from_bytes(packet[at : at + 2], "big") if len(packet) >= at + 2 else None
