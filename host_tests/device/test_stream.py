# URLs, and connections over real loopback sockets, both ends in this process.
from errno import ECONNREFUSED, ECONNRESET, EINPROGRESS, ETIMEDOUT

import usocket
from fakes import Clock, Wire
from redpoll.cloud import server
from redpoll.net import adopted, stream, tls
from redpoll.net.url import parse_url
from redpoll.port import ticks_diff, ticks_ms
from scratch import text_of
from support import raises


def listening():
    """A listening socket on a free port of this machine -> (socket, port)."""
    for port in range(20000, 20200):
        server = usocket.socket()
        try:
            server.bind(usocket.getaddrinfo("127.0.0.1", port)[0][-1])
            server.listen(1)
            return server, port
        except OSError:
            server.close()
    raise OSError("no free port")


def pair():
    server, port = listening()
    client = stream.Stream("127.0.0.1", port, write_timeout_ms=300)
    peer = server.accept()[0]
    server.close()
    return client, peer


def test_urls_are_taken_apart():
    for url, parts in (
        ("http://example.org", ("http", "example.org", 80, "/")),
        ("HTTPS://example.org/a/b?c=d#e", ("https", "example.org", 443, "/a/b?c=d")),
        ("mqtt://broker:1884", ("mqtt", "broker", 1884, "/")),
        ("mqtts://10.0.0.1/", ("mqtts", "10.0.0.1", 8883, "/")),
        ("http://[::1]:8080/x", ("http", "::1", 8080, "/x")),
        ("http://[fe80::1]", ("http", "fe80::1", 80, "/")),
        ("http://h?q=1", ("http", "h", 80, "/?q=1")),
        ("http://h/http://x:99999", ("http", "h", 80, "/http://x:99999")),
    ):
        assert parse_url(url) == parts


def test_bad_urls_are_refused_without_repeating_them():
    for url in (
        "",
        "example.org",
        "ftp://secret/",
        "://secret",
        "http://",
        "http://:80",
        "http://user:secret@host/",
        "http://secret@host",
        "http://secret:port",
        "http://secret:0",
        "http://secret:65536",
        "http://secret:",
        "http://::1/",
        "http://[::1",
        "http://[::1]secret",
        "http://sec ret/",
        "http://secret/\r\nX: y",
        "http://secret/\u00e9",
    ):
        with raises(ValueError) as caught:
            parse_url(url)
        assert "secret" not in str(caught.value)


def test_bytes_go_both_ways():
    client, peer = pair()
    client.write(b"hello")
    assert peer.read(5) == b"hello"
    buf = bytearray(10)
    assert client.readinto(buf) == 0
    peer.write(b"world")
    client.poll(1000)
    assert client.readinto(buf) == 5
    assert bytes(buf[:5]) == b"world"
    client.send(b"xxabcxx", 2, 3)
    assert peer.read(3) == b"abc"
    client.close()
    client.close()


def test_poll_waits_no_longer_than_asked():
    client, _ = pair()
    before = ticks_ms()
    client.poll(50)
    assert 40 <= ticks_diff(ticks_ms(), before) <= 500


def test_the_end_of_the_stream_is_an_error():
    client, peer = pair()
    peer.close()
    client.poll(1000)
    with raises(OSError) as caught:
        client.readinto(bytearray(10))
    assert caught.value.args[0] == ECONNRESET


def test_a_write_that_makes_no_progress_ends_at_its_deadline():
    client, peer = pair()
    before = ticks_ms()
    with raises(OSError) as caught:
        for _ in range(1000):
            client.write(bytes(100000))
    assert caught.value.args[0] == ETIMEDOUT
    assert ticks_diff(ticks_ms(), before) < 5000
    peer.close()


def test_a_stream_says_whether_there_is_room_without_waiting():
    client, peer = pair()
    assert client.ready()
    piece = bytes(4096)
    while client.ready() and client.sock.write(piece, 0, len(piece)):
        pass
    before = ticks_ms()
    assert not client.ready()
    assert ticks_diff(ticks_ms(), before) < 250
    while not client.ready():
        peer.recv(4096)
    client.close()
    peer.close()


def test_a_closed_stream_raises():
    client, _ = pair()
    client.close()
    # what is done next says so
    assert client.ready()
    for call in (lambda: client.readinto(bytearray(1)), lambda: client.write(b"x")):
        with raises(OSError):
            call()


def test_a_closed_port_is_refused():
    server, port = listening()
    server.close()
    with raises(OSError) as caught:
        stream.Stream("127.0.0.1", port)
    assert caught.value.args[0] == ECONNREFUSED


def test_code_written_for_a_socket_can_read_a_stream():
    client, peer = pair()
    client.setblocking(False)
    assert client.read(3) is None
    peer.write(b"abcdef")
    client.setblocking(True)
    assert client.read(3) == b"abc"
    with raises(OSError) as caught:
        client.read(4)  # three bytes are there, the fourth does not come
    assert caught.value.args[0] == ETIMEDOUT
    peer.close()
    assert client.read(4) == b""


class Poller:
    """Stands for a Stream's poller: nothing comes, or what `then` brings."""

    def __init__(self, poller, then=None):
        self.asked = []
        self._poller = poller
        self._then = then

    def poll(self, ms):
        self.asked.append(ms)
        if not self._then:
            return []
        self._then()
        return self._poller.poll(1000)


def test_a_read_waits_as_long_as_it_was_told_to():
    client, peer = pair()
    poller = client._poller = Poller(client._poller)
    for tell, waited in (
        (lambda: client.settimeout(0.05), [50]),
        (lambda: client.settimeout(0.0001), [1]),
        (lambda: client.setblocking(True), [300]),
        (lambda: client.settimeout(7), [7000]),
        (lambda: client.settimeout(None), [300]),
    ):
        tell()
        assert text_of(OSError, client.read, 1)
        assert poller.asked == waited
        poller.asked = []
    client.settimeout(0)
    assert client.read(1) is None and not poller.asked
    peer.close()


def test_a_read_gives_all_it_was_asked_for_or_without_waiting_what_is_there():
    client, peer = pair()
    peer.write(b"ab")
    client.poll(1000)
    client._poller = Poller(client._poller, lambda: peer.write(b"cd"))
    assert client.read(4) == b"abcd"
    assert client._poller.asked == [300]
    peer.write(b"ef")
    client.poll(1000)
    client.setblocking(False)
    assert client.read(4) == b"ef"
    peer.write(b"gh")
    client.poll(1000)
    peer.close()
    client.setblocking(True)
    assert client.read(4) == b"gh"


def test_wait_msg_looks_each_second_and_ends_at_the_timeout_that_was_set():
    client, peer = pair()
    clock = Clock().install(adopted)
    since = clock.ticks_ms()
    assert client.patience(since) == 1000
    client.settimeout(2.5)
    assert client.patience(since) == 1000
    clock.now += 2000
    assert client.patience(since) == 500
    clock.now += 500
    with raises(OSError) as caught:
        client.patience(since)
    assert caught.value.args[0] == ETIMEDOUT
    # for one wait_msg()
    client.setblocking(False)
    assert [client.patience(since) for _ in range(2)] == [0, 1000]
    peer.close()


def test_a_stream_has_no_names_but_its_own():
    client, peer = pair()
    for name in ("makefile", "select", "adopt"):
        assert not hasattr(client, name)
    peer.close()


def test_a_poller_is_told_of_what_the_socket_does_not_know_of():
    import select

    class Client:
        _queue = []
        _r = _w = 0
        _begun = None

    def asked(events):
        return client.ioctl(3, events)

    client, peer = pair()
    assert asked(select.POLLIN) == 0 and asked(select.POLLIN | select.POLLOUT) == select.POLLOUT
    assert client.ioctl(4, 0) == -1
    own = client.client = Client()
    assert asked(select.POLLIN) == 0
    own._queue = ["message"]
    assert asked(select.POLLIN) == select.POLLIN and asked(0) == 0
    own._queue = []
    own._w = 2
    assert asked(select.POLLIN) == select.POLLIN
    # of a packet that is not complete
    own._begun = 1
    assert asked(select.POLLIN) == 0
    # TLS has it already
    other, far = pair()
    raw, client.sock = client.sock, other.sock
    assert asked(select.POLLIN) == 0
    far.write(b"x")
    other.poll(1000)
    assert asked(select.POLLIN) == select.POLLIN
    client.sock = raw
    peer.write(b"x")
    client.poll(1000)
    assert asked(select.POLLIN) == select.POLLIN
    client.close()
    assert asked(select.POLLIN) == select.POLLHUP and client.ioctl(4, 0) == -1


def test_select_can_wait_for_a_stream():
    import select

    client, peer = pair()
    poller = select.poll()
    poller.register(client, select.POLLIN)
    assert not poller.poll(0)
    peer.write(b"x")
    assert poller.poll(1000)[0][1] & select.POLLIN


def test_an_adopted_socket_has_every_awkwardness():
    Clock().install(stream, adopted)
    wire = Wire()
    own = adopted.Adopted(wire, 1000)
    own.write(b"?")
    wire.sent = bytearray()
    wire.short = 2
    wire.write_faults = [None, OSError(ETIMEDOUT)]
    own.write(b"abcde")
    assert bytes(wire.sent) == b"abcde"
    buf = bytearray(4)
    wire.read_faults = [None, OSError(ETIMEDOUT), OSError(11)]
    assert [own.readinto(buf) for _ in range(4)] == [0, 0, 0, 0]
    wire.inbound.extend(b"xyz")
    assert own.readinto(buf) == 3
    wire.ended = True
    with raises(OSError):
        own.readinto(buf)


def test_what_an_adopted_socket_was_set_to_does_not_matter():
    Clock().install(stream, adopted)
    wire = Wire()
    own = adopted.Adopted(wire, 1000)
    wire.setblocking(True)
    assert own.readinto(bytearray(4)) == 0
    blocking = []
    write = wire.write
    wire.write = lambda data: blocking.append(wire.blocking) or write(data)
    wire.setblocking(True)
    own.send(b"xxabcxx", 2, 3)
    assert bytes(wire.sent) == b"abc" and blocking == [False]


def test_an_adopted_socket_that_says_later_that_it_took_nothing_is_believed():
    clock = Clock().install(stream, adopted)
    wire = Wire()
    wire.write_faults = [OSError(11), None]
    before = clock.now
    adopted.Adopted(wire, 1000).write(b"abc")
    assert bytes(wire.sent) == b"abc" and clock.now == before + 20


def test_of_an_adopted_socket_that_breaks_behind_a_byte_the_byte_is_taken():
    class Breaking(Wire):
        def read(self, n):
            if n > 1:
                raise OSError(ECONNRESET)
            return Wire.read(self, n)

    own = adopted.Adopted(Breaking())
    own.sock.inbound.extend(b"x")
    buf = bytearray(4)
    assert own.readinto(buf) == 1 and buf == b"x\0\0\0"


def test_an_adopted_socket_needs_no_close_and_is_looked_at_every_few_milliseconds():
    class Least:
        pass

    clock = Clock().install(stream, adopted)
    own = adopted.Adopted(Least())
    before = clock.now
    own.poll(5000)
    own.poll(3)
    assert clock.now == before + 13
    own.close()
    assert own.sock is None


class Sock:
    """A socket whose connect, read and write are what the test says."""

    def __init__(self, connect=None, read=None):
        self.result = connect
        self.reading = read
        self.closed = 0
        self.taken = 0
        self.written = b""
        self.options = []
        # what the next calls of write, setsockopt and close raise, or None
        self.faults = []

    def fail(self):
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            raise fault

    def setsockopt(self, *what):
        self.fail()
        self.options.append(what)

    def setblocking(self, flag):
        assert not flag

    def connect(self, address):
        if self.result:
            raise self.result

    def readinto(self, buf):
        if self.reading:
            raise self.reading

    def write(self, buf, off, n):
        self.fail()
        self.written += bytes(buf[off : off + min(n, self.taken)])
        return min(n, self.taken) or None

    def close(self):
        self.closed += 1
        self.fail()


class Network:
    """What stream has as `select` and `socket`, with these sockets for the addresses of a name; `events` is what polling finds."""

    POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
    SOCK_STREAM = 1

    def __init__(self, *sockets, events=()):
        self.sockets = list(sockets)
        self.events = list(events)
        self.waited = []
        self.clock = Clock().install(stream)

    def __enter__(self):
        self._has = stream.select, stream.socket, stream._port.open_socket
        stream.select = stream.socket = self
        left = self.sockets[:]
        stream._port.open_socket = lambda *kind: left.pop(0)
        return self

    def __exit__(self, *error):
        stream.select, stream.socket, stream._port.open_socket = self._has

    def getaddrinfo(self, host, port, *hints):
        return [(2, 1, 6, "", (host, port))] * len(self.sockets)

    def register(self, sock, events):
        self.awaited = events

    modify = register

    def poll(self, *ms):
        if not ms:
            return self
        self.waited += ms
        self.polled = self.awaited
        self.clock.now += ms[0]
        return [(None, event) for event in self.events]


def test_the_next_address_of_a_name_is_tried_until_the_time_is_over():
    with Network(Sock(OSError(ECONNREFUSED)), Sock()) as network:
        assert stream.Stream("h", 1).sock is network.sockets[1]
        assert [sock.closed for sock in network.sockets] == [1, 0]
    with Network(Sock(OSError(5)), Sock(OSError(ECONNREFUSED))) as network:
        with raises(OSError) as caught:
            stream.Stream("h", 1)
        assert caught.value.args[0] == ECONNREFUSED
    with Network(Sock(OSError(EINPROGRESS)), Sock()) as network:
        with raises(OSError) as caught:
            stream.Stream("h", 1, timeout_ms=700)
        assert caught.value.args[0] == ETIMEDOUT and network.waited == [700]
        assert [sock.closed for sock in network.sockets] == [1, 0]
    with Network():
        with raises(OSError) as caught:
            stream.Stream("h", 1)
        assert caught.value.args[0] == ECONNREFUSED


def test_why_a_connection_failed_is_asked_of_its_socket():
    for event in (8, 16, 4 | 8):
        for reading, why in ((OSError(113), 113), (None, ECONNREFUSED)):
            with Network(Sock(OSError(EINPROGRESS), reading), events=[event]):
                with raises(OSError) as caught:
                    stream.Stream("h", 1)
                assert caught.value.args[0] == why
    with Network(Sock(OSError(EINPROGRESS)), events=[4]) as network:
        assert stream.Stream("h", 1).sock is network.sockets[0]


def test_a_packet_is_not_held_back_for_the_next_one_where_the_port_can_do_that():
    with Network(Sock()) as network:
        stream.Stream("h", 1)
        assert network.sockets[0].options == [(6, 1, 1)]
    with Network(Sock()) as network:
        network.TCP_NODELAY = 64
        stream.Stream("h", 1)
        assert network.sockets[0].options == [(6, 64, 1)]
    for fault in (OSError(22), AttributeError(), NotImplementedError()):
        with Network(Sock()) as network:
            network.sockets[0].faults = [fault]
            assert stream.Stream("h", 1).sock is network.sockets[0]


def test_what_a_socket_takes_piece_by_piece_is_sent_once_and_in_order():
    for taken in (2, 3, 100):
        with Network(Sock(), events=[4]) as network:
            own = stream.Stream("h", 1)
            sock = network.sockets[0]
            sock.taken = taken
            sock.faults = [None, OSError(11), None, OSError(ETIMEDOUT)]
            own.send(b"xxabcdefgxx", 2, 7)
            assert sock.written == b"abcdefg"
            assert own.write(b"hijkl", 3) == 3 and own.write(b"klm") == 3 and own.write(b"n", 0) == 0
            assert sock.written == b"abcdefghijklm"
            sock.taken = 0
            sock.faults = [None, OSError(ECONNRESET)]
            with raises(OSError) as caught:
                own.write(b"n")
            assert caught.value.args[0] == ECONNRESET


def test_a_look_for_room_leaves_the_wait_for_what_comes_as_it_was():
    client, peer = pair()
    assert client.ready() and not client._poller.poll(0)
    peer.close()


def test_a_socket_that_does_not_close_is_closed():
    with Network(Sock()) as network:
        own = stream.Stream("h", 1)
        network.sockets[0].faults = [OSError(107)]
        own.close()
        own.close()
        assert own.sock is None and network.sockets[0].closed == 1


class TLS(Network):
    """The same with TLS, which `wrap` makes."""

    def __init__(self, wrap):
        super().__init__(Sock())
        self.wrap = wrap

    def __enter__(self):
        self._wrap = stream._port.tls_wrap
        stream._port.tls_wrap = self.wrap
        return super().__enter__()

    def __exit__(self, *error):
        stream._port.tls_wrap = self._wrap
        super().__exit__(*error)


def test_tls_verifies_the_name_of_the_server_or_the_one_that_is_given():
    names = []
    over = Sock()
    with TLS(lambda context, raw, name: names.append((context, name)) or over) as network:
        stream.Stream("h", 1, "context")
        made = stream.Stream
        stream._port.open_socket = lambda *kind: network.sockets[0]
        own = made("h", 1, "context", server_hostname="other")
        assert names == [("context", "h"), ("context", "other")] and own.sock is over
        own.close()
        assert over.closed == network.sockets[0].closed == 1


def test_a_tls_that_cannot_begin_leaves_no_socket_open():
    def wrap(context, raw, name):
        raise MemoryError

    with TLS(wrap) as network:
        with raises(MemoryError):
            stream.Stream("h", 1, "context")
        assert network.sockets[0].closed == 1


def test_a_handshake_has_the_deadline_of_opening_and_waits_for_the_other_side():
    over = Sock()
    with TLS(lambda context, raw, name: over) as network:
        own = stream.Stream("h", 1, "context", timeout_ms=4005, write_timeout_ms=300)
        # a handshake can always write
        assert own.ready() and not network.waited
        before = network.clock.now
        with raises(OSError) as caught:
            own.write(b"abc")
        assert caught.value.args[0] == ETIMEDOUT
        assert network.clock.now == before + 4005 and network.waited == [10] * 400 + [5]
        assert network.polled == network.POLLIN
        over.taken = 3
        own.write(b"abc")
        over.taken = 0
        before = network.clock.now
        with raises(OSError):
            own.write(b"abc")
        assert network.clock.now == before + 300 and network.polled == network.POLLOUT
        assert not own.ready()


def test_what_a_tls_library_raises_is_an_error_of_the_connection():
    over = Sock()
    with TLS(lambda context, raw, name: over):
        own = stream.Stream("h", 1, "context")
        over.reading = ValueError(" invalid key ")
        assert text_of(OSError, own.readinto, bytearray(1)) == "TLS: invalid key"
        over.reading = MemoryError()
        with raises(MemoryError):
            own.readinto(bytearray(1))
        for error in (OSError(11), OSError(ETIMEDOUT)):
            over.reading = error
            assert own.readinto(bytearray(1)) == 0
        over.reading = OSError()
        with raises(OSError):
            own.readinto(bytearray(1))


def test_tls_needs_a_ca():
    for ca in (None, "", b""):
        with raises(ValueError):
            tls.context(ca)
    with raises(ValueError):
        tls.context("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----", cert="x")
    with raises(ValueError):
        tls.context("-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----")
    with raises(ValueError):
        tls.umqtt_context({})


def test_the_scheme_of_a_server_counts_in_any_case():
    class Settings:
        ca = ""

    for url in ("https://hub.example", "HTTPS://hub.example", "Mqtts://hub.example"):
        assert "CA" in text_of(ValueError, server, Settings, url)
    for url in ("http://hub.example", "MQTT://hub.example"):
        assert server(Settings, url)[2] is None


def test_a_write_ends_at_its_deadline_also_while_a_little_goes_through():
    class Slow:
        def write(self, buf, off, n):
            return 1

    slow, peer = pair()
    clock = Clock()
    clock.install(stream)
    slow.sock = Slow()
    slow.write_timeout_ms = 5000
    slow._wait_room = clock.sleep_ms
    with raises(OSError):
        slow.send(bytes(4096), 0, 4096)
    assert clock.now - Clock().now <= 5010
    peer.close()
