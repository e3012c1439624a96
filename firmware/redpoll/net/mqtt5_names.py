# What mqtt5 takes from here when it is asked for, and forgets again: all of it as names of a module would stay on the heap for good.
from micropython import const

from .mqtt import MQTTException
from .mqtt5 import get, take, varint

_DISCONNECT = const(0xE0)
_REASON_STRING = const(31)
_USER_PROPERTY = const(38)

# property identifiers (MQTT 5.0 §2.2.2.2) and, in the last line, subscription options to be or-ed to the QoS (§3.8.3.1)
NAMES = (
    " "
    "PAYLOAD_FORMAT_INDICATOR=1 MESSAGE_EXPIRY_INTERVAL=2 CONTENT_TYPE=3 RESPONSE_TOPIC=8 CORRELATION_DATA=9 "
    "SUBSCRIPTION_IDENTIFIER=11 SESSION_EXPIRY_INTERVAL=17 ASSIGNED_CLIENT_IDENTIFIER=18 SERVER_KEEP_ALIVE=19 "
    "AUTHENTICATION_METHOD=21 AUTHENTICATION_DATA=22 REQUEST_PROBLEM_INFORMATION=23 WILL_DELAY_INTERVAL=24 "
    "REQUEST_RESPONSE_INFORMATION=25 RESPONSE_INFORMATION=26 SERVER_REFERENCE=28 REASON_STRING=31 RECEIVE_MAXIMUM=33 "
    "TOPIC_ALIAS_MAXIMUM=34 TOPIC_ALIAS=35 MAXIMUM_QOS=36 RETAIN_AVAILABLE=37 USER_PROPERTY=38 MAXIMUM_PACKET_SIZE=39 "
    "WILDCARD_SUBSCRIPTION_AVAILABLE=40 SUBSCRIPTION_IDENTIFIER_AVAILABLE=41 SHARED_SUBSCRIPTION_AVAILABLE=42 "
    "NO_LOCAL=4 RETAIN_AS_PUBLISHED=8 RETAIN_IF_NEW=16 RETAIN_NEVER=32 "
)


def get_user(properties, name, default=None):
    """The first value of the user property with this name."""
    for key, value in properties or ():
        if key == _USER_PROPERTY and value[0] == name:
            return value[1]
    return default


def on_disconnect(client, p, end):
    """Raise why the server closed the connection (MQTT 5.0 §3.14), with the DISCONNECT at p of the receive buffer."""
    rx = client._rx
    closed(client, rx[p] if end > p else 0, take(client, p + 1, end)[0] if end > p + 1 else None)


def closed(client, code, found):
    """Close the connection and raise the server's reason."""
    error = MQTTException(code, get(found, _REASON_STRING) or "refused by the server")
    error.properties = found
    client._dead(error)


def explain(client):
    """What is sent fails: raise why, when the server has closed the connection with a DISCONNECT that nobody has read yet."""
    if client._skip:
        return
    # a malformed one is not answered: that write would fail too
    client._state = 0
    rx = client._rx
    at = client._r
    end = client._w
    if at == end:
        at = end = 0
    try:
        # client._read() would forget what is there when no more comes
        end += client._io.readinto(memoryview(rx)[end:])
    except (OSError, IndexError):
        pass  # or has no room
    try:
        while True:
            size, after = varint(rx, at + 1, end)
            if rx[at] == _DISCONNECT and after + size <= end:
                on_disconnect(client, after, after + size)
            at = after + size
    except ValueError:
        pass  # that was all
