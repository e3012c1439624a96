# The HTTP client against a scripted server behind a socket double.
from errno import ECONNRESET, ETIMEDOUT

import heap
from fakes import Clock, Wire
from redpoll.net import adopted, http, stream
from support import raises

HEAP = "1M"


class Web:
    """Answers each request with the next of `answers`, then closes the connection if `close`. Keeps the requests."""

    def __init__(self, *answers, close=False):
        self.answers = list(answers)
        self.close = close
        self.requests = []
        self.wire = Wire(self)

    def take(self, data):
        self.requests.append(data)
        answer = self.answers.pop(0) if self.answers else b""
        self.wire.ended = self.close
        return answer


def client(*webs, url="http://host/base/", **options):
    clock = Clock().install(http, stream, adopted)
    webs = list(webs)

    class Stream(adopted.Adopted):
        def __init__(self, host, port, tls, connect_ms):
            if not webs:
                raise OSError(111)
            super().__init__(webs.pop(0).wire, 8000)

    http.Stream = Stream
    made = http.HTTPClient(url, **options)
    made.clock = clock
    return made


def finish(made, limit=100000):
    for _ in range(limit):
        response = made.poll()
        if response is not None:
            return response
        made.wait(10)
    raise AssertionError("no response")


def get(made, *args, **more):
    made.request("GET", *(args or ("/x",)), **more)
    return finish(made)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok"


def test_a_request_is_sent_as_given_and_its_response_is_read():
    web = Web(OK)
    made = client(web, headers={"Authorization": "key"})
    made.request("GET", "/x?y=1")
    assert made.busy
    response = finish(made)
    assert not made.busy
    assert (response.status, response.body) == (200, b"ok")
    assert response.headers == {"content-length": "2", "x-a": "1, 2"}
    lines = web.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /base/x?y=1 HTTP/1.1"
    assert b"Host: host" in lines and b"Authorization: key" in lines
    assert b"\r\n\r\n" in web.requests[0]


def test_the_host_field_names_other_ports_and_ipv6():
    for url, host in (("http://h:80", b"h"), ("http://h:81", b"h:81"), ("http://[::1]", b"[::1]"), ("http://[::1]:8080/a", b"[::1]:8080")):
        web = Web(OK)
        get(client(web, url=url))
        assert b"\r\nHost: " + host + b"\r\n" in web.requests[0]


def test_a_body_is_sent_with_its_length():
    web = Web(OK, OK, OK)
    made = client(web)
    for body, sent in (("\u00e9", b"\xc3\xa9"), (b"12345", b"12345"), (None, b"")):
        made.request("POST", "/p", body, {"Content-Type": "text/plain"})
        finish(made)
        head, _, got = web.requests[-1].partition(b"\r\n\r\n")
        assert got == sent
        assert b"Content-Length: %d" % len(sent) in head.split(b"\r\n")
    assert web.wire.writes == 3  # one write each, over one connection


def test_every_way_a_body_can_end_is_understood():
    head = b"HTTP/1.1 200 OK\r\n"
    for answer, body, close in (
        (head + b"Content-Length: 0\r\n\r\n", b"", False),
        (head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", b"abc0123456789", False),
        (head + b"\r\nto the end", b"to the end", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", True),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", b"x", False),
        (head + b"Not-UTF-8: \xff\r\nNot-UTF-8: \xff\r\nContent-Length: 1\r\n\r\nx", b"x", False),
        (head + b"A: " + b"a" * 4040 + b"\r\nContent-Length: 1100\r\n\r\n" + b"x" * 1100, b"x" * 1100, False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK, b"ok", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", False),
    ):
        for dribble in (1, 7, 1000, 10000):
            web = Web(answer, close=close)
            web.wire.dribble = dribble
            assert get(client(web)).body == body


def test_head_has_no_body():
    web = Web(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", OK)
    made = client(web)
    made.request("HEAD", "/x")
    assert finish(made).headers["content-length"] == "500"
    assert get(made).body == b"ok"


def test_https_is_for_tls_alone_and_each_scheme_has_its_port():
    tls = object()
    for url, host, number, wanted in (
        ("https://h", b"h", 443, tls),
        ("https://h:80", b"h:80", 80, tls),
        ("http://h", b"h", 80, None),
        ("http://h:443", b"h:443", 443, None),
    ):
        web = Web(OK)
        made = client(web, url=url, tls=tls)
        opened = []

        class Stream(http.Stream):
            def __init__(self, *where, opened=opened, kept=http.Stream):
                opened.append(where[:3])
                kept.__init__(self, *where)

        http.Stream = Stream
        get(made)
        assert opened == [("h", number, wanted)]
        assert b"\r\nHost: " + host + b"\r\n" in web.requests[0]


def test_a_request_that_may_have_a_body_says_its_length_and_no_other_does():
    for method, body, length in (
        ("GET", None, None),
        ("DELETE", None, None),
        ("DELETE", b"abc", b"3"),
        ("PUT", None, b"0"),
        ("PATCH", None, b"0"),
    ):
        web = Web(OK)
        made = client(web)
        made.request(method, "/x", body)
        finish(made)
        found = [line for line in web.requests[0].split(b"\r\n") if line.startswith(b"Content-Length")]
        assert found == ([b"Content-Length: " + length] if length else [])


def test_a_body_may_be_as_long_as_is_allowed():
    made = client(Web(OK), max_body=2)
    assert get(made).body == b"ok"


def test_of_a_body_that_is_too_long_the_status_is_known():
    for length in (b"Content-Length: 3", b"Connection: close"):
        made = client(Web(b"HTTP/1.1 403 Forbidden\r\n" + length + b"\r\n\r\nno!"), max_body=2)
        with raises(http.HTTPError):
            get(made)
        assert made.response.status == 403


def test_a_server_that_speaks_something_else_is_told_from_a_slow_one_by_its_first_bytes():
    made = client(Web(b"SSH-2"))
    before = made.clock.now
    with raises(http.HTTPError):
        get(made)
    assert made.clock.now == before


def test_a_length_of_more_digits_than_any_file_has_is_an_error_for_a_sink_too():
    for digits in (12, 13):
        made = client(Web(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * digits + b"\r\n\r\n"))
        made.request("GET", "/x", sink=len)
        if digits == 12:
            assert made.poll() is None
        else:
            with raises(http.HTTPError):
                made.poll()


def test_poll_does_not_block():
    web = Web()
    made = client(web)
    made.request("GET", "/x")
    before = made.clock.now
    assert made.poll() is None
    assert made.clock.now == before


def test_only_one_request_at_a_time():
    made = client(Web())
    with raises(RuntimeError):
        made.poll()
    made.request("GET", "/x")
    with raises(RuntimeError):
        made.request("GET", "/y")


def test_a_silent_server_ends_in_a_timeout():
    for answer in (b"", b"HTTP/1.1 200", OK[:-1]):
        made = client(Web(answer), timeout_ms=3000)
        before = made.clock.now
        with raises(OSError) as caught:
            get(made)
        assert caught.value.args[0] == ETIMEDOUT
        assert 3000 <= made.clock.now - before <= 3100
        assert not made.busy


def test_answers_that_cannot_be_used_are_errors_and_end_the_connection():
    head = b"HTTP/1.1 200 OK\r\n"
    for answer in (
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 099 x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        head + b"no colon\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        head + b"Folded: a\r\n b\r\n\r\n",
        head + b"Folded: a\r\n b: c\r\n\r\n",
        head + b"Spaced : a\r\n\r\n",
        head + b": a\r\n\r\n",
        head + b"Content-Length: x\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n",
        head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        head + b"Content-Length: 999999\r\n\r\n",
        head + b"Transfer-Encoding: gzip\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nFFFF\r\n" + bytes(70000),
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
        head + b"Transfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n0\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300 + b"\r\na\r\n0\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"Trailer: x\r\n" * 1000,
        head + b"\r\n" + bytes(9000),
        head + b"A: " + b"a" * 9000,
        head + b"A: " + b"a" * 4400 + b"\r\n\r\n",
        b"x" * 9000,
    ):
        web = Web(answer)
        made = client(web)
        with raises(http.HTTPError):
            get(made)
        assert not made.busy
        assert web.wire.closed


def test_a_connection_cut_in_an_answer_is_an_error():
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    for answer in (OK, whole):
        for end in range(1, len(answer)):
            web = Web(answer[:end], close=True)
            with raises(OSError) as caught:
                get(client(web))
            assert caught.value.args[0] == ECONNRESET


def test_a_kept_connection_that_is_found_closed_is_opened_again():
    for method in ("GET", "PUT", "DELETE", "HEAD", "POST"):
        first, second = Web(OK), Web(OK)
        made = client(first, second)
        get(made)
        first.wire.ended = True
        made.request(method, "/y", b"b")
        assert finish(made).status == 200
        assert second.requests[0].startswith(method.encode())
        assert len(first.requests) == 1


def test_a_kept_connection_that_closes_under_the_request_is_opened_again():
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        first, second = Web(OK), Web(OK)
        made = client(first, second)
        get(made)
        first.close = True
        made.request(method, "/y", b"b")
        assert finish(made).status == 200
        assert second.requests[0].startswith(method.encode())


def test_a_kept_connection_that_breaks_at_the_write_is_opened_again():
    first, second = Web(OK), Web(OK)
    made = client(first, second)
    get(made)
    first.wire.write_faults = [OSError(ECONNRESET)]
    made.request("GET", "/y")
    assert finish(made).status == 200 and len(second.requests) == 1


def test_a_kept_connection_that_breaks_in_an_answer_is_an_error_and_the_body_comes_once():
    first, second = Web(OK), Web(OK)
    made = client(first, second)
    get(made)
    first.answers = [OK[:-1]]
    first.close = True
    pieces = []
    made.request("GET", "/y", sink=lambda data: pieces.append(bytes(data)))
    with raises(OSError):
        finish(made)
    assert pieces == [b"o"] and second.requests == []


def test_a_new_connection_that_closes_is_an_error_also_where_a_kept_one_was_before():
    first, second, third = Web(OK), Web(b"", close=True), Web(OK)
    made = client(first, second, third)
    get(made)
    first.wire.ended = True
    made.request("GET", "/y")
    with raises(OSError):
        finish(made)
    assert third.requests == []


def test_what_a_broken_connection_had_brought_is_not_taken_for_the_next_answer():
    made = client(Web(OK[:20], close=True), Web(OK))
    with raises(OSError):
        get(made)
    assert get(made).body == b"ok"


def test_a_body_without_a_length_ends_with_the_connection_and_not_with_its_failure():
    answer = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    web = Web(answer, close=True)
    assert get(client(web)).body == b"to the end" and web.wire.closed
    web = Web(answer)
    made = client(web)
    made.request("GET", "/x")
    assert made.poll() is None
    web.wire.read_faults = [OSError(5)]
    with raises(OSError):
        made.poll()


def test_a_server_of_http_1_0_keeps_a_connection_only_when_it_says_so():
    for field, kept in ((b"", False), (b"Connection: Keep-Alive\r\n", True)):
        web = Web(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n" + field + b"\r\n")
        get(client(web))
        assert web.wire.closed is not kept


def test_a_request_that_cannot_be_sent_is_over():
    made = client()
    with raises(OSError):
        made.request("GET", "/x")
    assert not made.busy
    made.wait(10)


def test_the_response_before_is_not_taken_for_the_one_that_is_coming():
    made = client(Web(OK))
    get(made)
    made.request("GET", "/y")
    assert made.poll() is None and made.response is None


def test_nothing_is_waited_for_while_there_may_be_more_to_take():
    web = Web(b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + bytes(5000))
    made = client(web)
    made.request("GET", "/x")
    before = made.clock.now
    assert made.poll() is None
    made.wait(10)
    assert made.clock.now == before
    while web.wire.inbound:
        made.poll()
    made.poll()
    made.wait(10)
    assert made.clock.now == before + 10


def test_opening_and_the_write_share_one_deadline_and_the_write_has_the_least_it_needs():
    for opening, whole in ((6000, 7000), (6900, 7400)):
        web = Web(OK)
        made = client(web, connect_timeout_ms=7000)

        class Slow(http.Stream):
            def __init__(self, *where, kept=http.Stream, clock=made.clock, ms=opening):
                clock.sleep_ms(ms)
                kept.__init__(self, *where)
                self._counts = True

        http.Stream = Slow
        web.wire.write_faults = [None] * 10000
        before = made.clock.now
        with raises(OSError) as caught:
            made.request("GET", "/x")
        assert caught.value.args[0] == ETIMEDOUT
        assert whole <= made.clock.now - before <= whole + 20


def test_a_kept_connection_that_takes_nothing_is_not_tried_again():
    for most in (7000, 400):
        first, second = Web(OK), Web(OK)
        made = client(first, second, connect_timeout_ms=most)
        get(made)
        made._io._counts = True
        first.wire.write_faults = [None] * 10000
        with raises(OSError) as caught:
            made.request("GET", "/y")
        assert caught.value.args[0] == ETIMEDOUT and second.requests == []


def test_a_request_has_one_deadline_also_on_a_kept_connection():
    first, second = Web(OK), Web(OK)
    made = client(first, second, connect_timeout_ms=7000)
    get(made)
    kept = http.Stream

    class Slow(kept):
        def __init__(self, *where):
            made.clock.sleep_ms(6900)
            super().__init__(*where)

    http.Stream = Slow
    # it takes nothing, and then it breaks
    made._io._counts = True
    first.wire.write_faults = [None] * 690 + [OSError(ECONNRESET)]
    before = made.clock.now
    try:
        made.request("GET", "/y")
    except OSError:
        pass
    assert made.clock.now - before <= 7000


def test_post_is_not_sent_twice():
    first, second = Web(OK), Web(OK)
    made = client(first, second)
    get(made)
    first.close = True
    made.request("POST", "/y", b"b")
    with raises(OSError):
        finish(made)
    assert second.requests == []


def test_a_second_failure_is_an_error():
    first, second = Web(OK), Web(b"", close=True)
    made = client(first, second)
    get(made)
    first.close = True
    made.request("GET", "/y")
    with raises(OSError):
        finish(made)


def test_connection_close_is_obeyed():
    first, second = Web(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), Web(OK)
    made = client(first, second)
    get(made)
    assert first.wire.closed
    assert get(made).body == b"ok"


def test_a_sink_gets_the_body_in_small_pieces():
    size = 100000
    for answer in (
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-100004/200000\r\nContent-Length: %d\r\n\r\n" % size + bytes(size),
        b"HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n" + bytes(size) + b"\r\n0\r\n\r\n",
    ):
        pieces = []
        web = Web(answer)
        made = client(web)

        def sink(data, made=made, pieces=pieces):
            assert made.response.status == 206
            pieces.append(len(data))

        response = get(made, "/f", headers={"Range": "bytes=5-"}, sink=sink)
        assert response.body == b""
        assert sum(pieces) == size
        assert max(pieces) <= 1024
        assert b"\r\nRange: bytes=5-\r\n" in web.requests[0]


def test_a_sink_that_raises_ends_the_request():
    web = Web(OK)
    made = client(web)

    def sink(data):
        raise MemoryError("flash is full")

    with raises(MemoryError):
        get(made, sink=sink)
    assert web.wire.closed and not made.busy


def test_redirects_are_returned():
    response = get(client(Web(b"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n")))
    assert response.status == 302
    assert response.headers["location"] == "http://other/"


def test_headers_cannot_be_smuggled_in():
    for end in ("\r\n", "\n", "\r"):
        made = client(Web(OK), headers={"Authorization": "secret" + end + "X: y"})
        with raises(ValueError) as caught:
            made.request("GET", "/x")
        assert "secret" not in str(caught.value)
    with raises(ValueError):
        client(Web(OK)).request("GET", "/x y")
    assert not made.busy


def test_urls_must_be_http():
    for url in ("mqtt://h", "https://h", "http", "http://[::1", "http://[::1]x80", "http://fe80::1/"):
        with raises(ValueError):
            http.HTTPClient(url)


def test_bytes_after_the_response_are_not_taken_for_the_next():
    first, second = Web(OK + OK), Web(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    made = client(first, second)
    get(made)
    assert get(made).status == 404


def test_random_answers_end_in_a_response_or_an_error():
    seed = 7
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    for _ in range(400):
        answer = bytearray(whole)
        for _ in range(1 + seed % 4):
            seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
            answer[seed >> 8 & 63] = seed >> 16 & 127
        try:
            get(client(Web(bytes(answer), close=True)))
        except (OSError, http.HTTPError):
            pass


def test_a_body_in_small_pieces_takes_no_more_memory_than_it_is_long():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    web = Web(head + b"1\r\na\r\n" * 4000)
    web.wire.dribble = 6
    made = client(web, max_body=4000)
    made.request("GET", "/x")
    before = heap.used()
    while web.wire.inbound:
        assert made.poll() is None
    assert heap.used() - before < 12000


def test_a_poll_takes_a_bounded_part_of_what_has_come():
    web = Web(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 4000)
    made = client(web)
    made.request("GET", "/x")
    assert made.poll() is None
    assert len(made.response.body) < 1000


def test_a_server_that_drips_does_not_hold_a_request_for_ever():
    web = Web(b"HTTP/1.1 100 Continue\r\n\r\n")
    made = client(web, timeout_ms=15000)
    made.request("GET", "/x")
    with raises(OSError) as caught:
        for _ in range(100):
            made.clock.sleep_ms(1000)
            web.wire.inbound.extend(b"HTTP/1.1 100 Continue\r\n\r\n")
            made.poll()
    assert caught.value.args[0] == ETIMEDOUT


def test_a_server_that_drips_does_not_hold_a_download_for_ever_either():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"
    for first, more in ((interim, interim), (head, b"x"), (head + bytes(2000), b"x")):
        web = Web(first)
        made = client(web, timeout_ms=15000)
        made.request("GET", "/x", sink=len)
        with raises(OSError) as caught:
            for _ in range(100):
                made.clock.sleep_ms(1000)
                web.wire.inbound.extend(more)
                made.poll()
        assert caught.value.args[0] == ETIMEDOUT


def test_a_download_goes_on_when_the_device_was_away_for_a_while():
    web = Web(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100000))
    made = client(web, timeout_ms=15000)
    made.request("GET", "/x", sink=len)
    assert made.poll() is None
    made.clock.sleep_ms(61000)
    assert finish(made).status == 200


def test_a_download_that_gets_on_may_take_as_long_as_it_is():
    web = Web(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    made = client(web, timeout_ms=15000)
    made.request("GET", "/x", sink=len)
    response = None
    while response is None:
        made.clock.sleep_ms(14000)
        web.wire.inbound.extend(bytes(1000))
        response = made.poll()
    assert response.status == 200
