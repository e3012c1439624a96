# MQTT 5.0's part of CONNECT and CONNACK, for MQTTClient.connect.
from micropython import const

from .mqtt5 import encode, get, take

_SESSION_EXPIRY_INTERVAL = const(17)
_RECEIVE_MAXIMUM = const(33)
_TOPIC_ALIAS_MAXIMUM = const(34)
_RETAIN_AVAILABLE = const(37)
_MAXIMUM_PACKET_SIZE = const(39)

# what the server may say in CONNACK (MQTT 5.0 §3.2.2.3) and the client's attribute for it
_LIMITS = const(
    (
        (18, "assigned_client_id"),
        (19, "server_keep_alive"),
        (33, "receive_maximum"),
        (34, "topic_alias_maximum"),
        (36, "maximum_qos"),
        (39, "maximum_packet_size"),
    )
)


def connect_block(client, clean):
    """The properties of CONNECT (MQTT 5.0 §3.1.2.11)."""
    expiry = client.session_expiry
    if expiry is None and not clean:
        expiry = 0xFFFFFFFF
    found = [(_RECEIVE_MAXIMUM, client._receive_max), (_MAXIMUM_PACKET_SIZE, len(client._rx))]
    if expiry:
        found.append((_SESSION_EXPIRY_INTERVAL, expiry))
    more = client.connect_properties or ()
    found.extend(more.items() if isinstance(more, dict) else more)
    return encode(found)


def on_connack(client, p, end):
    """Note what the CONNACK at p of the receive buffer says, or raise why the server refused."""
    code = client._rx[p + 1]
    # a server that knows only 3.1.1 answers without properties
    found = take(client, p + 2, end)[0] if end > p + 2 else None
    client.connack_properties = found
    if code:
        client._mqtt5.closed(client, code, found)
    for identifier, name in _LIMITS:
        # the class has what holds when the server says nothing
        value = get(found, identifier, getattr(type(client), name))
        if identifier == _TOPIC_ALIAS_MAXIMUM:
            value = min(value, client.topic_aliases)
        # an attribute of its own is memory of the client
        if value != getattr(client, name):
            setattr(client, name, value)
    retain = get(found, _RETAIN_AVAILABLE, 1) == 1
    if retain != client.retain_available:
        client.retain_available = retain
    if client.server_keep_alive is not None:
        client._set_keep_alive(client.server_keep_alive)
    if client.assigned_client_id:
        client.client_id = client.assigned_client_id
    # a Receive Maximum of 0 is a server's mistake, and nothing would ever be sent
    client._limit = min(len(client._ids), client.receive_maximum or 1)
    aliases = client.topic_alias_maximum
    if aliases:
        from .mqtt5_alias import Aliases

        client._aliases = Aliases(aliases)
    elif client._aliases:
        client._aliases = None
