# QoS 2, exactly once (MQTT 5.0 §4.3.3). Loaded with the first message that asks for it.
from micropython import const

_PUBACK = const(4)
_PUBREC = const(5)
_PUBREL = const(6)
_PUBCOMP = const(7)
_SEND_PUBREC = const(0x50)
_SEND_PUBREL = const(0x62)
_SEND_PUBCOMP = const(0x70)
_NOT_FOUND = const(0x92)
_DUP = const(8)
# messages that a server may have begun and not released
_RECEIVED_MAX = const(256)


def is_new(client, pid):
    """Is this a message that has not been delivered yet? From then on it counts as delivered, until the server releases its identifier."""
    received = client._received
    if pid in received:
        client._send_ack(_SEND_PUBREC, pid, 0)
        return False
    if len(received) >= _RECEIVED_MAX:
        client._violation(0x93, "too many")
    received.append(pid)
    return True


def on_packet(client, kind, pid, code):
    """PUBREC, PUBREL or PUBCOMP with this reason code."""
    if kind == _PUBREL:
        known = pid in client._received
        if known:
            client._received.remove(pid)
        client._send_ack(_SEND_PUBCOMP, pid, 0 if known else _NOT_FOUND)
        return
    i = pid % len(client._ids)
    wants = None
    if pid and client._ids[i] == pid:
        packet = client._packets[i]
        start = client._starts[i]
        first = packet[start]
        wants = (first >> 4) + (first >> 1 & 3)
    if kind == _PUBREC and pid and wants != _PUBACK and (code < 0x80 or wants == _PUBCOMP):
        if wants == _PUBREC:
            packet[start] = _SEND_PUBREL | first & _DUP
            # what PUBREC said, until PUBCOMP comes; under numbers that no packet has. As bytes: they take a third of the list's memory
            client._replies[~i] = bytes([code]) + (client._mqtt5.encode(client.properties) if client.properties else b"")
        client._send_ack(_SEND_PUBREL, pid, 0 if wants else _NOT_FOUND)
        if wants:
            client._sent[i] = client._tx_at
    else:
        if kind == _PUBCOMP == wants:
            # PUBCOMP says nothing of what became of the message, PUBREC did (MQTT 5.0 §3.5.2.1)
            said = client._replies.pop(~i)
            if not code or first & _DUP:
                code = said[0]  # that the server has forgotten what it took on an earlier connection is no error (MQTT 5.0 §3.7.2.1)
            if len(said) > 1:
                client.properties = client._mqtt5.decode(said, 1, len(said))[0] + (client.properties or [])
        client._acknowledged(kind, pid, code)
