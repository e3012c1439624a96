# URLs, and connections over real loopback sockets, both ends in this process.
from errno import ECONNREFUSED, ECONNRESET, ETIMEDOUT

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
    slow._wait_writable = clock.sleep_ms
    with raises(OSError):
        slow.send(bytes(4096), 0, 4096)
    assert clock.now - Clock().now <= 5010
    peer.close()
