# The time from an NTP server that the test plays, and answers that are none.
import errno

from cloud_fakes import Reply
from redpoll import log, port
from redpoll.clock import Clock
from redpoll.cloud.https import learn_time
from redpoll.net import ntp
from scratch import Ticks

NOW = 1795257600123  # 2026-11-21T10:40:00.123Z
EPOCH = 2208988800
DAY = 86400000


class Server:
    """Stands for the socket: `answer(request)` makes what comes back, None is silence; `fails` is raised by connect."""

    def __init__(self):
        self.requests = []
        self.answer = right
        self.fails = None
        self.open = 0

    def __call__(self, family, kind, proto):
        assert kind == 2
        self.open += 1
        self.blocks = True
        return self

    def connect(self, address):
        if self.fails:
            raise self.fails

    def setblocking(self, on):
        self.blocks = on

    def write(self, buf, off, n):
        # of version 4, from a client (RFC 5905 §7.3): no server answers anything else
        assert n == 48 and buf[off] == 0x23
        self.requests.append(bytes(buf[off : off + n]))
        return n

    def readinto(self, buf):
        assert not self.blocks
        packet = self.answer(self.requests[-1]) if self.answer else None
        if packet is None:
            return None
        buf[: len(packet)] = packet
        return len(packet)

    def close(self):
        self.open -= 1


def right(request, unix_ms=NOW, stratum=2, first=0x24):
    """What a server answers."""
    seconds = (unix_ms // 1000 + EPOCH) & 0xFFFFFFFF
    fraction = unix_ms % 1000 * (1 << 32) // 1000 + 5000000
    head = bytes([first, stratum, 0, 0]) + bytes(20) + request[40:48] + bytes(8)
    return head + seconds.to_bytes(4, "big") + fraction.to_bytes(4, "big")


class Bench:
    def __init__(self):
        self.ticks = Ticks()
        self.clock = Clock(self.ticks, lambda: None)
        self.server = Server()
        self.set = []
        self.names = None
        ntp.port = self
        ntp.socket = self
        self.SOCK_DGRAM = 2
        self.open_socket = self.server
        self.ntp = ntp.Ntp(self.clock, "time.example", self.set.append)

    def getaddrinfo(self, host, number, family, kind):
        if self.names:
            raise self.names
        assert (host, number, kind) == ("time.example", 123, 2)
        # as an RP2 has it, whatever was asked for
        return [(2, 1, 0, "", ("192.0.2.1", 123))]

    def run(self, ms):
        end = self.ticks.ms + ms
        while self.ticks.ms < end:
            self.ticks.ms += min(self.ntp.poll(), 1000, end - self.ticks.ms) or 1
        return self.clock.known()


def test_the_clock_and_the_chips_own_are_set():
    bench = Bench()
    assert bench.run(1000)
    assert abs(bench.clock.wall_at(bench.clock.ms()) - NOW) <= 1200
    assert len(bench.set) == 1 and abs(bench.set[0] - NOW) <= 60
    assert bench.ntp.trouble is None and bench.server.open == 0


def test_an_answer_that_takes_its_way_is_waited_for():
    bench = Bench()
    bench.server.answer = lambda request: right(request) if bench.ticks.ms >= 700 else None
    assert bench.ntp.poll() == 100
    bench.run(650)
    assert bench.ntp.asking() and not bench.clock.known()
    assert bench.run(350)
    assert len(bench.server.requests) == 1 and bench.ntp.trouble is None
    # half of the way is added
    assert 300 <= bench.set[0] - NOW <= 500


def test_an_answer_that_lay_unread_while_nobody_looked_is_asked_for_anew():
    bench = Bench()
    bench.ntp.poll()
    # it came at once, and a sensor held the loop up
    bench.ticks.ms += 20000
    assert bench.ntp.poll() > 0 and not bench.set and bench.server.open == 0
    assert bench.run(5000) and len(bench.server.requests) == 2
    assert abs(bench.set[0] - NOW) <= 60


def test_it_asks_once_a_day_when_it_was_answered():
    bench = Bench()
    bench.run(DAY - 10000)
    assert len(bench.server.requests) == 1
    bench.run(20000)
    assert len(bench.server.requests) == 2


def test_a_second_answer_corrects_the_clock_by_less_than_two_seconds_too():
    bench = Bench()
    bench.run(1000)
    bench.server.answer = lambda request: right(request, NOW + DAY + 500)
    bench.run(DAY)
    assert abs(bench.set[1] - (NOW + DAY + 500)) < 60
    assert abs(bench.clock.wall_at(0) - (NOW + 500)) < 1500


def test_what_ntp_has_set_is_not_set_back_by_the_date_of_a_server():
    bench = Bench()
    learn_time(bench.clock, Reply(200, b"{}", {"date": "Sat, 21 Nov 2026 10:39:00 GMT"}))
    assert bench.clock.wall_at(0) < NOW - 50000
    bench.run(1000)
    for date in ("Sat, 21 Nov 2026 10:39:00 GMT", "Sat, 21 Nov 2026 10:41:00 GMT"):
        learn_time(bench.clock, Reply(200, b"{}", {"date": date}))
        assert abs(bench.clock.wall_at(0) - NOW) <= 1200


def test_what_the_date_of_a_server_has_set_a_later_one_corrects():
    ticks = Ticks()
    clock = Clock(ticks, lambda: None)
    learn_time(clock, Reply(200, {}, {"date": "Sat, 21 Nov 2026 10:40:00 GMT"}))
    assert clock.wall_at(clock.ms()) == NOW - 123
    ticks.ms += 3600000
    learn_time(clock, Reply(200, {}, {"date": "Sat, 21 Nov 2026 11:41:00 GMT"}))
    assert clock.wall_at(clock.ms()) == NOW - 123 + 3660000
    # a portal's own idea of it is none
    learn_time(clock, Reply(200, {}, {"date": "Thu, 01 Jan 1970 00:00:10 GMT"}))
    assert clock.wall_at(clock.ms()) == NOW - 123 + 3660000


def test_a_server_that_is_silent_is_asked_more_and_more_seldom_and_said_once():
    bench = Bench()
    bench.server.answer = None
    assert not bench.run(3600000)
    assert bench.ntp.trouble == "NTP time.example: no answer"
    assert 8 < len(bench.server.requests) < 100 and bench.server.open <= 1
    assert len([line for line in log.lines() if "time.example: no answer" in line]) == 1
    bench.server.answer = right
    assert bench.run(400000) and bench.ntp.trouble is None
    # a day later it is asked as often as at first
    bench.server.answer = None
    asked = len(bench.server.requests)
    while len(bench.server.requests) == asked:
        bench.run(1000)
    bench.run(60000)
    assert len(bench.server.requests) - asked >= 4


def test_each_request_has_a_number_that_only_the_server_has_seen():
    bench = Bench()
    bench.server.answer = None
    bench.run(60000)
    tokens = [request[40:48] for request in bench.server.requests]
    assert len(tokens) > 2 and len(set(tokens)) == len(tokens)


def test_what_is_no_answer_to_this_request_is_not_believed():
    for wrong in (
        lambda request: right(bytes(48)),  # to another request
        lambda request: right(request)[:40],  # cut off
        lambda request: right(request, first=0x23),  # a request itself
        lambda request: b"HTTP/1.1 302 Found\r\n" + bytes(40),  # a captive portal
    ):
        bench = Bench()
        bench.server.answer = lambda request: wrong(request)[:48]  # noqa: B023
        assert not bench.run(20000)
        assert bench.ntp.trouble == "NTP time.example: no answer"


def test_a_server_that_does_not_know_the_time_is_not_believed():
    # the last ones have lost 1024 weeks, and left the time empty
    for about in ({"stratum": 0}, {"stratum": 16}, {"first": 0xE4}, {"unix_ms": NOW - 1024 * 7 * DAY}, {"unix_ms": -EPOCH * 1000}):
        bench = Bench()
        bench.server.answer = lambda request: right(request, **about)  # noqa: B023
        assert not bench.run(20000)
        assert "does not know the time itself" in bench.ntp.trouble


def test_after_2036_the_seconds_begin_anew():
    bench = Bench()
    bench.server.answer = lambda request: right(request, 2100000000000)
    assert bench.run(1000)
    assert abs(bench.set[0] - 2100000000000) < 60


def test_a_name_that_is_not_found_and_a_network_that_is_not_there_are_said():
    bench = Bench()
    bench.names = OSError(-2)
    assert not bench.run(20000)
    assert bench.ntp.trouble == "NTP time.example: the host name was not found (-2)"
    bench.names = None
    bench.server.fails = OSError(errno.ECONNREFUSED)
    assert not bench.run(400000)
    assert "OSError" in bench.ntp.trouble and bench.server.open == 0
    bench.server.fails = None
    assert bench.run(400000)


def test_a_real_socket_is_asked_the_same_way():
    import socket

    ticks = Ticks()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for number in range(40000, 60000, 7):
        try:
            server.bind(socket.getaddrinfo("127.0.0.1", number)[0][-1])
            break
        except OSError:
            pass
    ntp.port, ntp.socket = port, socket
    clock = Clock(ticks, lambda: None)
    asked = ntp.Ntp(clock, "127.0.0.1", print, number)
    asked.poll()
    server.setblocking(True)
    request, client = server.recvfrom(100)
    server.sendto(right(request), client)
    for _ in range(1000):
        asked.poll()
        if clock.known():
            break
        port.sleep_ms(1)
    server.close()
    assert abs(clock.wall_at(0) - NOW) < 60
