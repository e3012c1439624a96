"""Where MQTT packets begin and end in a stream of bytes (MQTT 5.0 §2.1.4), for what stands between a client and its broker."""


def packet_end(data: bytes, at: int) -> tuple[int, int] | None:
    """The packet that begins there -> (where its body begins, where it ends), None when it is not complete."""
    size = shift = 0
    for head in range(at + 1, min(at + 5, len(data))):
        size |= (data[head] & 127) << shift
        shift += 7
        if data[head] < 128:
            stop = head + 1 + size
            return (head + 1, stop) if stop <= len(data) else None
    return None


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Bytes of a connection -> the complete packets, and what is left."""
    packets, at = [], 0
    while (end := packet_end(data, at)) is not None:
        packets.append(data[at : end[1]])
        at = end[1]
    return packets, data[at:]
