# Packets larger than the receive buffer. Loaded when the first one comes.
from micropython import const

_PUBLISH = const(3)
_OPEN = const(2)
_TOO_LARGE = const("too large")


def skip(client, p, end):
    """Begin to throw away the packet that is larger than the receive buffer, p after its fixed header -> is it known what it is?

    A message that wants an acknowledgement gets it, else the server would send it for ever.
    """
    rx = client._rx
    first = rx[client._r]
    after = p
    qos = first >> 1 & 3
    if first >> 4 != _PUBLISH or qos == 3 or client._state != _OPEN:
        client._violation(0x95, _TOO_LARGE)
    if qos and client._w >= p + 2:
        after += (rx[p] << 8 | rx[p + 1]) + 4
        if after > end or after - client._r > len(rx):
            client._violation(0x95, _TOO_LARGE)
    if client._w < after or qos and after == p:
        return client._incomplete()
    client._skip = end - client._w
    client._r = client._w
    client._begun = None
    client._incomplete()
    client.dropped += 1
    if qos:
        client._send_ack(0x30 + (qos << 4), rx[after - 2] << 8 | rx[after - 1], 0x97)
    return True
