# MQTT 3.1.1 and 5.0 in the shape of umqtt.simple, without its ways to hang.
from errno import ENOTCONN, ETIMEDOUT

from micropython import const
from umqtt import simple

from ..port import extend, ticks_add, ticks_diff, ticks_ms, unload
from .stream import Stream

# kinds of packets (MQTT 5.0 §2.1.2)
_CONNACK = const(2)
_PUBLISH = const(3)
_PUBACK = const(4)
_PUBREL = const(6)
_PUBCOMP = const(7)
_SUBACK = const(9)
_UNSUBACK = const(11)
_PINGRESP = const(13)
_DISCONNECT = const(14)

_CLOSED = const(0)
_CONNECTING = const(1)
_OPEN = const(2)

# room before the body of a packet, for the longest fixed header
_HEAD = const(5)
# a buffer of the window gives its memory back when its packet was longer
_KEEP = const(1024)
# and so does the one for what is not in the window, QoS 0 aside: CONNECT and SUBSCRIBE are seldom, and long
_SHORT = const(64)
_WAIT_MS = const(1000)
# topics that are not checked again
_TOPICS = const(4)
_BAD_QOS = const("QoS: 0, 1 or 2")
_UNEXPECTED = const("unexpected")
_TOO_LARGE = const("too large")

# every message needs them; a builtin is looked for here in vain first, and then in a list of them from its beginning
len, type, bytes = len, type, bytes


class _Slice:
    def __getitem__(self, key):
        return key


# buffer[_BODY] = b"" empties a packet without allocating: the bytearray keeps its room
_BODY = _Slice()[_HEAD:]
del _Slice


class MQTTException(simple.MQTTException):
    """The server refused something or broke the protocol. `code` is the return or reason code, the text says more.

    `properties`: of the packet that said so, a list of (identifier, value), or None.
    """

    properties = None

    def __init__(self, code, text=""):
        super().__init__(code, text)
        self.code = code


class MQTTClient(simple.MQTTClient):
    """umqtt.simple's client, with MQTT 5, QoS 2, a window of unacknowledged messages and a deadline on everything.

    The callback runs in poll, check_msg and wait_msg, nowhere else. A message for which publish() raised was not accepted; one
    for which it returned stays in the window until it is acknowledged, across connect().
    """

    # called as on_ack(packet identifier, reason code) when a QoS 1 or 2 message is done with; may run inside publish()
    on_ack = None
    # properties of the message being delivered, in on_ack of the acknowledgement, a list of (identifier, value); of the last answer
    # to subscribe or unsubscribe
    properties = None
    reply_properties = None
    # reason code and properties for the acknowledgement of the message being delivered, set by the callback (MQTT 5.0 §3.4.2)
    ack_code = 0
    ack_properties = None
    # inbound messages that were too large, or came at QoS 0 when nobody could take them
    dropped = 0
    # what CONNACK said, and what holds when it says nothing (MQTT 5.0 §3.2.2.3)
    session_present = False
    connack_properties = None
    server_keep_alive = None
    assigned_client_id = None
    receive_maximum = 65535
    maximum_packet_size = 0
    maximum_qos = 2
    retain_available = True
    topic_alias_maximum = 0

    lw_properties = None
    # the module mqtt5, None in 3.1.1
    _mqtt5 = None
    # topic aliases of this connection; None: they are not used
    _aliases = None
    # the Stream in use, and the self.sock that it was made for
    _io = _seen = None
    _queued = 0

    def __init__(
        self,
        client_id,
        server,
        port=0,
        user=None,
        password=None,
        keepalive=0,
        ssl=False,
        ssl_params=None,
        protocol=4,
        window=8,
        max_packet=8192,
        connect_timeout_ms=8000,
        ack_timeout_ms=10000,
        session_expiry=None,
        receive_maximum=16,
        properties=None,
        topic_aliases=0,
        server_hostname=None,
    ):
        super().__init__(client_id, server, port, user, password, keepalive, ssl)
        self.ssl_params = ssl_params or {}
        self.protocol = protocol
        self.server_hostname = server_hostname or self.ssl_params.get("server_hostname") or server
        # seconds that the server keeps the session; None: none for a clean session, else for ever
        self.session_expiry = session_expiry
        # more properties for CONNECT
        self.connect_properties = properties
        self.topic_aliases = topic_aliases
        if protocol == 5:
            from . import mqtt5

            self._mqtt5 = mqtt5
        elif protocol != 4:
            raise ValueError("protocol: 4 or 5")
        if not 0 <= keepalive < 65536 or window < 1:
            raise ValueError("keepalive or window")
        self._connect_ms = connect_timeout_ms
        self._ack_ms = ack_timeout_ms
        self._receive_max = receive_maximum
        # what is sent and not in the window
        self._tx = bytearray(_HEAD)
        # a bytearray is used as it is: it can outlive the client, where a large piece would not be had a second time
        self._rx = max_packet if isinstance(max_packet, bytearray) else bytearray(max(max_packet, 64))
        # the window: packet identifier (0: free), the packet, where it starts, when it was sent. What a message waits for is in its packet,
        # the kind in the first byte (mqtt_qos2 makes that PUBREL) plus the QoS
        self._ids = [0] * window
        self._packets = [None] * window
        self._starts = [0] * window
        self._sent = [0] * window
        # buffers that are free from the in_flight-th on; what was used last is used next, so that few of them grow
        self._spare = [bytearray(_HEAD) for _ in range(window)]
        # packet identifier -> what follows it in the SUBACK or UNSUBACK that somebody waits for, None before it comes
        self._replies = {}
        # identifiers of QoS 2 messages that were delivered and not yet released by the server
        self._received = []
        # messages that came while no callback could run: (QoS, identifier, topic, payload, properties, stream), and their size
        self._queue = []
        self._limit = window
        # the topics that were checked last
        self._topics = [None] * _TOPICS
        # every message looks at these: in the instance they are found at once. in_flight: QoS 1 and 2 messages that are not acknowledged
        self.maximum_qos = 2
        self.maximum_packet_size = self.in_flight = 0
        # may the callback run? None: it runs now
        self._may_call = False
        self._set_keep_alive(keepalive)
        self._forget_link()

    def _set_keep_alive(self, seconds):
        self._ping_ms = seconds * 750
        self._pong_ms = min(seconds * 500, self._ack_ms) if seconds else self._ack_ms
        self._slice_ms = max(10, min(_WAIT_MS, self._pong_ms >> 2, self._ack_ms >> 2))

    def _forget_link(self):
        self._state = _CLOSED
        # received bytes not yet handled are _rx[_r:_w]
        self._r = self._w = 0
        # bytes of an oversize packet still to be thrown away
        self._skip = 0
        # when the first byte of an incomplete packet was seen, when PINGREQ was sent, when there was no room for what is to be sent;
        # None: nothing of that
        self._begun = self._pinged = self._waiting = None
        self._tx_at = self._rx_at = self._checked = ticks_ms()

    # no property: in a class that has one MicroPython looks every assignment to an attribute up in all its bases first
    def window_free(self):
        """QoS 1 and 2 messages that publish() takes now without waiting."""
        return max(0, self._limit - self.in_flight)

    # -- connecting

    def set_last_will(self, topic, msg, retain=False, qos=0, properties=None):
        """The message that the server publishes when the link dies; `properties` as for publish (MQTT 5.0 §3.1.3.2)."""
        if not 0 <= qos <= 2:
            raise ValueError(_BAD_QOS)
        super().set_last_will(topic, msg, retain, qos)
        self.lw_properties = properties

    def connect(self, clean_session=True, timeout=None):
        """Open the connection, at most `timeout` seconds (connect_timeout_ms) -> whether the server had a session of ours.

        What is in the window is sent again, with DUP. OSError when the link fails, MQTTException when the server refuses.
        """
        self.close()
        started = ticks_ms()
        limit = self._connect_ms if timeout is None else int(timeout * 1000)
        self._set_keep_alive(self.keepalive)
        tls = self.ssl
        if tls is True:
            from .tls import umqtt_context

            tls = umqtt_context(self.ssl_params)
        io = Stream(self.server, self.port, tls, limit, self._pong_ms, self.server_hostname)
        self.sock = self._seen = self._io = io
        io.client = self
        self._state = _CONNECTING
        try:
            from .mqtt_requests import send_connect

            send_connect(self, clean_session)
            # when that fails, or the answer, it stays for the next time
            unload("net.mqtt_requests")
            while self._state == _CONNECTING:
                left = limit - ticks_diff(ticks_ms(), started)
                if left <= 0:
                    raise OSError(ETIMEDOUT)
                if not self._read(io):
                    io.poll(left)
                elif self._w - self._r >= 2:
                    self._one()
            # the server may have asked for another keep alive
            io.write_timeout_ms = self._pong_ms
            if not self.session_present:
                self._received.clear()
            elif clean_session:
                self._violation(0x82, "bad CONNACK")
            if self.in_flight:
                from .mqtt_resume import send_again

                send_again(self, started, limit)
                unload("net.mqtt_resume")
        except Exception:
            self.close()
            raise
        return self.session_present

    def _on_connack(self, p, end):
        rx = self._rx
        if end - p < 2 or rx[p] > 1:
            self._violation(0x81, "bad CONNACK")
        if self._mqtt5:
            from .mqtt5_connect import on_connack

            on_connack(self, p, end)
            unload("net.mqtt5_connect")
        elif rx[p + 1]:
            self._dead(MQTTException(rx[p + 1], "refused"))
        self.session_present = rx[p] == 1
        self._state = _OPEN

    def disconnect(self, reason=0, properties=None):
        """Wait for what is in flight (at most ack_timeout_ms), tell the server, close. A link that fails meanwhile is no error."""
        try:
            self.flush()
            self._bye(reason, properties)
        except (OSError, MQTTException):
            pass  # closed is what was wanted
        self.close()

    def _bye(self, reason, properties):
        tx = self._begin()
        if self._mqtt5:
            tx.append(reason)
            self._put_block(tx, properties)
        self._finish(_DISCONNECT << 4)

    def close(self):
        """Close the connection at once. The window stays, for the next connect()."""
        io = self._io or self.sock
        self.sock = self._seen = self._io = None
        self._forget_link()
        if io:
            io.close()

    # -- sending

    def publish(self, topic, msg, retain=False, qos=0, properties=None):
        """Send a message -> its packet identifier, 0 at QoS 0. topic, msg: bytes or str; `properties`: bytes from mqtt5.encode, or
        what that takes. At QoS 1 and 2 it waits for room in the window, at most ack_timeout_ms, not for the acknowledgement.
        ValueError for a topic that is none: a server ends the connection for it, with each try again.
        """
        pid = slot = 0
        packet = self._tx
        # MQTT 5.0 §3.2.2.3.4, §3.2.2.3.5
        if retain and not self.retain_available:
            raise MQTTException(0x9A, "retain not supported")
        if qos:
            if not 0 < qos < 3:
                raise ValueError(_BAD_QOS)
            if qos > self.maximum_qos:
                raise MQTTException(0x9B, "QoS not supported")
            if self.in_flight >= self._limit:
                self._await_window(self._limit - 1)
            # an identifier whose slot in the window is free; its acknowledgement finds it there without a search
            ids = self._ids
            slots = len(ids)
            pid = self.pid
            while True:
                pid = pid % 65535 + 1
                slot = pid % slots
                if not ids[slot] and pid not in self._replies:
                    break
            self.pid = pid
            packet = self._spare[self.in_flight]
        packet[_BODY] = b""
        _put(packet, topic)
        # not by its value: where str and bytes are compared a board prints a warning
        for good in self._topics:
            if good is topic:
                break
        else:
            self._check_topic(topic, packet, properties)
        if qos:
            packet.append(pid >> 8)
            packet.append(pid & 255)
        if self._mqtt5:
            if properties is None:
                packet.append(0)
            else:
                self._put_block(packet, properties)
        extend(packet, msg)
        start = _frame(packet, 0x30 | qos << 1 | (1 if retain else 0))
        if self._aliases is None:
            self._send(packet, start)
        else:
            self._aliases.send(self, packet, start)
        if qos:
            ids[slot] = pid
            self._packets[slot] = packet
            self._sent[slot] = self._tx_at
            self._starts[slot] = start
            self.in_flight += 1
        return pid

    def _check_topic(self, topic, packet, properties):
        # MQTT 5.0 §3.3.2.1; a topic alias stands for an empty one
        name = packet[_HEAD + 2 :].decode()
        if "+" in name or "#" in name or "\0" in name or not (name or self._mqtt5 and properties):
            raise ValueError("bad topic")
        if name:
            self._topics.insert(0, topic)
            self._topics.pop()

    def _put_block(self, packet, properties):
        # a bytearray is a block too, so that its owner can change a value in place; a tuple of both types would allocate
        if type(properties) is not bytes and type(properties) is not bytearray:
            properties = self._mqtt5.encode(properties or ())
        packet.extend(properties)

    def flush(self):
        """Wait until all that was published is acknowledged. OSError(ETIMEDOUT) when that takes longer than ack_timeout_ms."""
        self._await_window(0)

    def _await_window(self, most):
        started = ticks_ms()
        while self.in_flight > most:
            self._late(started, self._ack_ms)
            self._turn(self._slice_ms)

    def subscribe(self, topic, qos=0, properties=None):
        """Subscribe to one topic filter or to a list of filters or (filter, options) -> granted QoS, a list of them for a list.

        In MQTT 5 the subscription options may be or-ed to `qos`. MQTTException with the code of the first that was refused; ValueError
        for no filter or a QoS above 2, for which a server would end the connection.
        """
        codes = self._ask(0x82, topic, qos, properties)
        return list(codes) if isinstance(topic, list) else codes[0]

    def unsubscribe(self, topic, properties=None):
        """End the subscription to one topic filter or to a list of them."""
        self._ask(0xA2, topic, None, properties)

    def _ask(self, first, topic, options, properties):
        from .mqtt_requests import ask

        try:
            return ask(self, first, topic, options, properties)
        finally:
            unload("net.mqtt_requests")

    def ping(self):
        """Send PINGREQ; the answer is awaited by poll."""
        self._begin()
        self._finish(0xC0)
        if self._pinged is None:
            self._pinged = self._tx_at

    def _send_ack(self, first, pid, code, found=None):
        tx = self._begin()
        _put16(tx, pid)
        if self._mqtt5 and (code or found):
            tx.append(code)
            if found:
                self._put_block(tx, found)
        self._finish(first)

    def _begin(self):
        self._tx[_BODY] = b""
        return self._tx

    def _finish(self, first):
        tx = self._tx
        self._send(tx, _frame(tx, first))
        if len(tx) > _SHORT:
            # what comes after a request does not need its room
            self._tx = bytearray(_HEAD)

    def _send(self, packet, start):
        # here and not where a packet is begun: on_ack may have closed it while there was no room in the window
        if self.sock is not self._seen or self.sock is None:
            self._adopt()
        n = len(packet) - start
        # CONNECT goes out before the server says it
        if 0 < self.maximum_packet_size < n and self._state == _OPEN:
            raise MQTTException(0x95, _TOO_LARGE)
        try:
            self._io.send(packet, start, n)
        except BaseException:
            # also for want of memory or Ctrl-C: what would be sent next would be taken for the rest of this packet
            try:
                if self._mqtt5:
                    self._mqtt5.explain(self)
            finally:
                self.close()
            raise
        self._tx_at = ticks_ms()

    # -- receiving

    def poll(self, timeout_ms=0):
        """Handle what has arrived, waiting at most timeout_ms for it -> packets handled. Sends PINGREQ when it is due.

        OSError when the link is dead, MQTTException when the server closed it with a reason or broke the protocol.
        """
        before = self._may_call
        if before is not None:
            self._may_call = True
        try:
            if self._queue and self._may_call:
                if not self._io or self._room():
                    return self._deliver()
                self._may_call = False
                timeout_ms = min(timeout_ms, self._slice_ms)
            started = ticks_ms()
            left = timeout_ms
            while True:
                handled = self._turn(min(left, self._slice_ms))
                left = timeout_ms - ticks_diff(ticks_ms(), started)
                if handled or left <= 0:
                    return handled
        finally:
            self._may_call = before

    def check_msg(self):
        """Handle what has arrived, without waiting -> 0x30 + 2 x QoS of the message that was handled last, None for none."""
        self._handled = None
        self.poll()
        return self._handled

    def wait_msg(self):
        """Wait until something arrives that acknowledges no message, and handle it -> as check_msg.

        After client.sock.setblocking(False) it handles what has arrived, after settimeout(seconds) it waits that long: OSError(ETIMEDOUT).
        """
        self._handled = None
        started = ticks_ms()
        while True:
            self._adopt()
            ms = self._io.patience(started)
            waiting = self.in_flight
            if self.poll(ms) > waiting - self.in_flight or self._handled or not ms:
                return self._handled

    def _turn(self, wait_ms):
        # one look at the connection -> packets handled
        if self.sock is not self._seen or self.sock is None:
            self._adopt()
        handled = self._take() if self._w > self._r else 0
        io = self._io
        while not handled and io is self._io:
            if self._read(io):
                handled = self._take()
            elif wait_ms > 0:
                # not as one call of a method that is chosen: its object would be allocated
                if self._waiting is None:
                    io.poll(wait_ms)
                else:
                    io._wait_room(wait_ms)
                wait_ms = 0
            else:
                self._check()
                self._keep_alive()
                return 0
        if io is self._io:
            # something has just been heard, but has anything been sent?
            if ticks_diff(self._rx_at, self._tx_at) >= self._ping_ms:
                self._keep_alive()
            # and is what has been heard what was waited for? Only when nothing more is there to be read
            if ticks_diff(self._rx_at, self._checked) > self._pong_ms and not self._read(io):
                self._check()
        return handled

    def _read(self, io):
        # read what there is behind what is left of an incomplete packet -> bytes
        rx = self._rx
        try:
            left = self._w - self._r
            if left == 0:
                self._r = 0
                n = io.readinto(rx)
            elif left == len(rx):
                return 0
            else:
                if self._r:
                    rx[:left] = rx[self._r : self._w]
                    self._r = 0
                n = io.readinto(memoryview(rx)[left:])
            self._w = left + n
        except OSError:
            self.close()
            raise
        if n:
            self._rx_at = ticks_ms()
        return n

    def _check(self):
        # every deadline that data not yet read cannot meet, because there is none
        self._checked = ticks_ms()
        self._late(self._begun, self._ack_ms)
        self._late(self._pinged, self._pong_ms)
        if self._waiting is not None and not self._room():
            self._late(self._waiting, self._pong_ms)
        if self.in_flight:
            for i in range(len(self._ids)):
                if self._ids[i]:
                    self._late(self._sent[i], self._ack_ms)

    def _late(self, since, limit):
        if since is not None and ticks_diff(ticks_ms(), since) > limit:
            self._dead()

    def _keep_alive(self):
        # MQTT 5.0 §3.1.2.10; also when only sending goes on, for a dead link takes that in silence
        if self._ping_ms and self._pinged is None:
            now = ticks_ms()
            if max(ticks_diff(now, self._tx_at), ticks_diff(now, self._rx_at)) >= self._ping_ms and self._room():
                self.ping()

    def _room(self):
        # can an acknowledgement be sent at once? What wants one stays in the buffer until then
        room = self._io.ready()
        if room:
            self._waiting = None
        elif self._waiting is None:
            self._waiting = ticks_ms()
        return room

    def _take(self):
        # the complete packets in the buffer -> how many
        rx = self._rx
        io = self._io
        count = 0
        while self._io is io:
            r = self._r
            left = self._w - r
            if self._skip:
                # an oversize packet; while it comes, 125 bytes a second at least, the link is alive, though PINGRESP may be behind it
                n = min(left, self._skip)
                self._r += n
                self._skip -= n
                count += 1
                now = ticks_ms()
                at = ticks_add(self._begun, n << 3)
                if ticks_diff(at, now) > 0:
                    at = now
                if self._pinged is not None and ticks_diff(at, self._pinged) > 0:
                    self._pinged = at
                self._sent = [at] * len(self._ids)
                self._begun = None
                if self._skip:
                    self._begun = at
                    break
            elif left >= 4 and rx[r] == 0x40 and (rx[r + 1] == 2 or rx[r + 1] == 3 and left > 4):
                # nearly all that comes to a device that reports: PUBACK, with or without a reason code
                p = r + 2 + rx[r + 1]
                self._r = p
                self._begun = None
                count += 1
                self._acknowledged(_PUBACK, rx[r + 2] << 8 | rx[r + 3], rx[r + 4] if p - r == 5 else 0)
            elif left and (not 0x31 < rx[r] < 0x70 or self._room()) and self._one():
                count += 1
            else:
                break
        return count

    def _one(self):
        # the packet at _r -> False when it is not complete yet
        rx = self._rx
        r = self._r
        left = self._w - r
        n = shift = 0
        p = r + 1
        while True:
            if p - r > 4:
                self._violation(0x81, "bad length")
            if p - r >= left:
                return self._incomplete()
            byte = rx[p]
            p += 1
            n |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        end = p + n
        if end - r > len(rx):
            from .mqtt_oversize import skip

            return skip(self, p, end)
        if end > self._w:
            return self._incomplete()
        self._r = end
        self._begun = None
        self._dispatch(rx[r], p, end)
        return True

    def _incomplete(self):
        if self._begun is None:
            self._begun = ticks_ms()
        return False

    def _dispatch(self, first, p, end):
        kind = first >> 4
        flags = first & 15
        if (kind == _CONNACK) != (self._state == _CONNECTING) or kind != _PUBLISH and flags != (2 if kind == _PUBREL else 0):
            self._violation(0x82, _UNEXPECTED)
        if kind == _PUBLISH:
            self._on_publish(flags, p, end)
        elif kind == _CONNACK:
            self._on_connack(p, end)
        elif _PUBACK <= kind <= _PUBCOMP or kind in (_SUBACK, _UNSUBACK):
            self._on_identified(kind, p, end)
        elif kind == _PINGRESP and p == end:
            self._pinged = None
        elif kind == _DISCONNECT and self._mqtt5:
            self._mqtt5.on_disconnect(self, p, end)
        else:
            self._violation(0x82, _UNEXPECTED)

    def _on_identified(self, kind, p, end):
        rx = self._rx
        p += 2
        if p > end:
            self._violation(0x81, "bad answer")
        pid = rx[p - 2] << 8 | rx[p - 1]
        if kind >= _SUBACK:
            if pid in self._replies:
                self._replies[pid] = bytes(rx[p:end])
            return
        code = 0
        mine = self.properties
        self.properties = None
        try:
            if self._mqtt5 and end > p:
                code = rx[p]
                if end > p + 1:
                    self.properties = self._mqtt5.take(self, p + 1, end)[0]
            if kind == _PUBACK:
                self._acknowledged(kind, pid, code)
            else:
                from .mqtt_qos2 import on_packet

                on_packet(self, kind, pid, code)
        finally:
            self.properties = mine

    def _acknowledged(self, kind, pid, code):
        # a packet of this kind has come for a message in flight, and it is what the message waits for (MQTT 5.0 §4.3)
        if pid == 0:
            self._violation(0x81, "bad answer")
        i = pid % len(self._ids)
        if self._ids[i] != pid:
            return
        packet = self._packets[i]
        first = packet[self._starts[i]]
        if kind != (first >> 4) + (first >> 1 & 3):
            self._violation(0x82, "bad answer")
        self._packets[i] = None
        self._ids[i] = 0
        self.in_flight -= 1
        self._spare[self.in_flight] = packet if len(packet) <= _KEEP else bytearray(_HEAD)
        if self.on_ack:
            self.on_ack(pid, code)

    def _on_publish(self, flags, p, end):
        # MQTT 5.0 §3.3
        rx = self._rx
        qos = flags >> 1 & 3
        start = p + 2
        p = start + (rx[p] << 8 | rx[p + 1]) if end >= start else end + 1
        if p + (2 if qos else 0) > end or qos == 3:
            self._violation(0x81, "bad PUBLISH")
        topic = bytes(rx[start:p])
        pid = 0
        if qos:
            pid = rx[p] << 8 | rx[p + 1]
            p += 2
        found = None
        if self._mqtt5:
            found, p = self._mqtt5.take(self, p, end)
        if not topic or b"+" in topic or b"#" in topic or qos and not pid:
            self._violation(0x82, "bad PUBLISH")
        msg = bytes(rx[p:end])
        if qos == 2:
            from .mqtt_qos2 import is_new

            if not is_new(self, pid):
                return
        if self._may_call:
            self._call(qos, pid, topic, msg, found, self._io)
        else:
            self._defer(end - start, qos, pid, topic, msg, found)

    def _call(self, qos, pid, topic, msg, found, io):
        self._may_call = None
        self.properties = found
        self._handled = 0x30 | qos << 1
        self.ack_code = 0
        self.ack_properties = None
        try:
            if self.cb:
                self.cb(topic, msg)
        finally:
            self.properties = None
            self._may_call = True
        # in the order in which the messages came; not when the callback has closed the connection, or opened another
        if qos and self._io is io:
            self._send_ack(0x30 + (qos << 4), pid, self.ack_code, self.ack_properties)
            if self._mqtt5 and self.ack_code > 127 and pid in self._received:
                self._received.remove(pid)

    def _defer(self, size, qos, pid, topic, msg, found):
        # somebody waits inside publish or subscribe, or in the callback: keep it for the next poll
        size += self._queued + 64
        # what comes at QoS 0 has the room of one message, beside all that the server may have under way
        if size > (len(self._rx) + 64) * (self._receive_max + 1 if qos else 1):
            if qos:
                self._violation(0x97, "too many")
            self.dropped += 1
            return
        self._queued = size
        self._queue.append((qos, pid, topic, msg, found, self._io))

    def _deliver(self):
        pending = self._queue
        self._queued = 0
        for _ in range(len(pending)):
            self._call(*pending.pop(0))
        return 1

    # -- the end of a connection

    def _adopt(self):
        # somebody may have put another socket-like object into self.sock
        if self.sock is None:
            raise OSError(ENOTCONN)
        if self.sock is not self._seen:
            from .adopted import adopt

            adopt(self)
            self._state = _OPEN

    def _dead(self, error=None):
        # close, and say why; without an error a deadline has passed
        self.close()
        raise error or OSError(ETIMEDOUT)

    def _violation(self, code, text):
        if self._mqtt5 and self._state == _OPEN:
            try:
                self._bye(code, None)
            except OSError:
                pass  # it is closed anyway
        self._dead(MQTTException(code, text))


def _put(packet, data):
    # bytes or str with its length before it
    at = len(packet)
    extend(packet, b"\0\0")
    extend(packet, data)
    n = len(packet) - at - 2
    if n > 65535:
        raise ValueError(_TOO_LARGE)
    packet[at] = n >> 8
    packet[at + 1] = n & 255


def _put16(packet, number):
    packet.append(number >> 8)
    packet.append(number & 255)


def _frame(packet, first):
    # put the fixed header right before the body -> where it begins (MQTT 5.0 §2.1)
    n = len(packet) - _HEAD
    start = at = 3 if n < 128 else 2 if n < 16384 else 1 if n < 2097152 else 0
    packet[at] = first
    if n >= 1 << 28:
        raise ValueError(_TOO_LARGE)
    while n > 127:
        at += 1
        packet[at] = n & 127 | 128
        n >>= 7
    packet[4] = n
    return start
