# The requests that a session begins with, CONNECT, SUBSCRIBE and UNSUBSCRIBE. Loaded for each and forgotten again.
from micropython import const

from ..port import extend
from .mqtt import MQTTException, _put, _put16

_CONNECT = const(0x10)
_SUBSCRIBE = const(0x82)
_REASON_STRING = const(31)
_BAD_QOS = const("QoS: 0, 1 or 2")


def send_connect(client, clean):
    """Send CONNECT (MQTT 3.1.1 §3.1, MQTT 5.0 §3.1)."""
    mqtt5 = client._mqtt5
    tx = client._begin()
    _put(tx, "MQTT")
    tx.append(client.protocol)
    will = (4 | client.lw_qos << 3 | (32 if client.lw_retain else 0)) if client.lw_topic else 0
    # MQTT 3.1.1 §3.1.2.9: no password without a user name
    password = None if client.user is None and not mqtt5 else client.pswd
    user = (0 if client.user is None else 128) | (0 if password is None else 64)
    tx.append(user | will | (2 if clean else 0))
    _put16(tx, client.keepalive)
    if mqtt5:
        from .mqtt5_connect import connect_block

        extend(tx, connect_block(client, clean))
    _put(tx, client.client_id)
    if will:
        if mqtt5:
            extend(tx, mqtt5.encode(client.lw_properties or ()))
        _put(tx, client.lw_topic)
        _put(tx, client.lw_msg)
    for part in (client.user, password):
        if part is not None:
            _put(tx, part)
    client._finish(_CONNECT)


def ask(client, first, topic, options, properties):
    """Send SUBSCRIBE or UNSUBSCRIBE (`first` is its first byte) for one topic filter or a list of them and wait for the answer.

    Returns its return or reason codes. MQTTException with the first that is a refusal.
    """
    if not topic:
        raise ValueError("no filter")
    pid = client.pid
    while True:
        pid = pid % 65535 + 1
        if pid not in client._ids and pid not in client._replies:
            break
    client.pid = pid
    tx = client._begin()
    _put16(tx, pid)
    if client._mqtt5:
        client._put_block(tx, properties)
    filters = topic if isinstance(topic, list) else (topic,)
    for one in filters:
        name, own = one if isinstance(one, tuple) else (one, options)
        if not name:
            raise ValueError("no filter")
        _put(tx, name)
        if first == _SUBSCRIBE:
            if own & 3 > 2:
                raise ValueError(_BAD_QOS)
            tx.append(own)
    codes = _answer(client, first, pid)
    client.reply_properties = None
    if client._mqtt5:
        client.reply_properties, at = client._mqtt5.take(client, 0, len(codes), codes)
        codes = codes[at:]
    # how many come for UNSUBSCRIBE is not looked at: rumqttd sends one for several filters
    if first == _SUBSCRIBE and len(codes) != len(filters):
        client._violation(0x82, "bad answer")
    for code in codes:
        if code >= 0x80:
            error = MQTTException(code, (client._mqtt5 and client._mqtt5.get(client.reply_properties, _REASON_STRING)) or "refused")
            error.properties = client.reply_properties
            raise error
    return codes


def _answer(client, first, pid):
    # what the answer has after the identifier
    replies = client._replies
    replies[pid] = None
    try:
        client._finish(first)
        started = client._tx_at
        while replies[pid] is None:
            client._turn(client._slice_ms)
            client._late(started, client._ack_ms)
        return replies[pid]
    finally:
        replies.pop(pid, None)
