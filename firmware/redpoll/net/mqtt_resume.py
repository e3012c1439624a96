# What was in flight when a connection ended, on the next one.
from micropython import const

from .mqtt import ticks_diff, ticks_ms

_PUBREL = const(0x62)
_PUBCOMP = const(7)


def send_again(client, started, limit):
    """Send it again, oldest first (MQTT 5.0 §4.4, §4.6), never more at once than the server's Receive Maximum.

    OSError(ETIMEDOUT) when that takes longer than until `limit` ms after `started`: what was acknowledged by then is.
    """
    ids = client._ids
    waiting = sorted([(ids[i] - client.pid - 1 & 0xFFFF, i) for i in range(len(ids)) if ids[i]])
    total = client.in_flight
    for sent, (_, i) in enumerate(waiting):
        while client.in_flight > total - sent + client._limit - 1:
            for _, later in waiting[sent:]:
                client._sent[later] = None  # no deadline before it is sent
            client._turn(client._slice_ms)
            client._late(started, limit)
        if ids[i]:  # not acknowledged meanwhile
            client._adopt()  # on_ack may have closed it
            io = client._io
            patience = io.write_timeout_ms
            io.write_timeout_ms = max(0, min(patience, limit - ticks_diff(ticks_ms(), started)))
            _send_slot(client, i)
            io.write_timeout_ms = patience


def _send_slot(client, i):
    packet = client._packets[i]
    start = client._starts[i]
    packet[start] |= 8
    if packet[start] > _PUBREL:
        if not client.session_present:
            # the server had taken it before it lost the session, and what PUBREC said holds
            from .mqtt_qos2 import on_packet

            mine = client.properties
            try:
                on_packet(client, _PUBCOMP, client._ids[i], 0)
            finally:
                client.properties = mine
            return
        client._send_ack(_PUBREL, client._ids[i], 0)
    elif 0 < client.maximum_packet_size < len(packet) - start:
        client._acknowledged(3 + (packet[start] >> 1 & 3), client._ids[i], 0x95)
        return
    else:
        client._send(packet, start)
    client._sent[i] = client._tx_at
