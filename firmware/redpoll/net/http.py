# HTTP/1.1 (RFC 9112), one request at a time, a little of the answer with each poll().
from errno import ECONNRESET, ETIMEDOUT

from micropython import const

from ..port import ticks_diff, ticks_ms
from .stream import Stream
from .url import parse_url

# bytes of the status line and all header fields together
_HEAD_MAX = const(4096)
_BUFFER = const(1024)  # bytes that are read at once
# a chunk's size line, with whatever extensions
_LINE_MAX = const(256)
_ROUNDS = const(4)  # reads in one poll()
# ms for the write when opening has taken nearly all
_WRITE_LEAST = const(500)
_WHOLE = const(4)  # times timeout_ms, for a response or 1 KB of it

# what comes next from the server
_IDLE = const(0)
_HEAD = const(1)
_BODY = const(2)
_CHUNK_SIZE = const(3)
_CHUNK_END = const(4)
_TRAILER = const(5)

# may be sent twice without harm (RFC 9110 §9.2.2)
_IDEMPOTENT = const(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))


# an OSError: the name HTTPError that somebody holds from before an unload() does not catch what is raised after the next load
class HTTPError(OSError):
    """The server's answer is not HTTP, or larger than allowed."""


class Response:
    """status, headers (lower-case names; values of fields that came twice are joined with ", "), body (a bytearray, empty when it
    went to a sink).
    """

    def __init__(self, status, headers):
        self.status = status
        self.headers = headers
        self.body = bytearray()


class HTTPClient:
    """Requests to one server, `base_url`, over one connection that is kept open. `tls` is what net.tls.context gives.

    Nothing waits except request(), which opens the connection and writes, at most connect_timeout_ms for both, and a poll() that finds
    a kept connection closed and does the same. timeout_ms is how long the server may stay silent; a response may take four times that,
    and as long again for each KB that goes to a sink.
    """

    def __init__(self, base_url, tls=None, headers=None, max_body=8192, timeout_ms=15000, connect_timeout_ms=8000):
        scheme, self.host, self.port, path = parse_url(base_url)
        if scheme not in ("http", "https"):
            raise ValueError("URL: http:// or https:// only")
        if scheme == "https" and tls is None:
            raise ValueError("https:// needs a CA certificate")
        self._tls = tls if scheme == "https" else None
        self._path = path.rstrip("/")
        self._headers = headers or {}
        self._most = max_body
        self._timeout_ms = timeout_ms
        self._connect_ms = connect_timeout_ms
        host = "[%s]" % self.host if ":" in self.host else self.host
        default = 443 if scheme == "https" else 80
        self._host_field = host if self.port == default else "%s:%d" % (host, self.port)
        self._io = None
        # may the connection hold more than the last poll() took?
        self._more = False
        # received and not yet used
        self._in = bytearray()
        self._buffer = bytearray(_BUFFER)
        self._state = _IDLE
        self.response = None

    @property
    def busy(self):
        """A request is under way."""
        return self._state != _IDLE

    def request(self, method, path, body=None, headers=None, sink=None):
        """Send a request; poll() gives its response. body: bytes or str. sink(memoryview) gets the body in pieces instead of Response.body,
        and may look at client.response for its status and headers; the memoryview is valid during the call only.

        RuntimeError when one is under way, ValueError for a header that cannot be sent, OSError when the connection fails.
        """
        if self.busy:
            raise RuntimeError("a request is under way")
        if isinstance(body, str):
            body = body.encode()
        self._method = method
        self._sink = sink
        self._message = self._encode(method, path, body, headers)
        # did this request find the connection open? Then the server may just have closed it
        self._reused = self._io is not None
        self._start()

    def _encode(self, method, path, body, headers):
        fields = {"Host": self._host_field}
        fields.update(self._headers)
        fields.update(headers or {})
        if body is not None or method in ("POST", "PUT", "PATCH"):
            fields["Content-Length"] = str(len(body or b""))
        lines = ["%s %s%s HTTP/1.1" % (method, self._path, path)]
        for name, value in fields.items():
            lines.append("%s: %s" % (name, value))
        head = "\r\n".join(lines).encode()
        # a line break within a value would be another header
        if head.count(b"\n") != len(fields) or head.count(b"\r") != len(fields) or " " in path:
            raise ValueError("a line break or space in the path or a header")
        return head + b"\r\n\r\n" + (body or b"")

    def _start(self):
        self._state = _HEAD
        self.response = None
        self._got_any = self._more = False
        self._begun = self._heard = ticks_ms()
        if self._reused:
            self._look()
        try:
            if self._io is None:
                self._io = Stream(self.host, self.port, self._tls, self._connect_ms)
            self._io.write_timeout_ms = max(_WRITE_LEAST, self._connect_ms - ticks_diff(ticks_ms(), self._heard))
            self._io.write(self._message)
        except Exception:
            # a kept connection that breaks at once is replaced; later that would have a second deadline
            if ticks_diff(ticks_ms(), self._heard) >= _WRITE_LEAST or not self._again():
                self.close()
                raise

    def _look(self):
        # a kept connection that the server has closed, or sends something unasked on, is replaced before anything is written
        try:
            usable = self._io.readinto(self._buffer) == 0
        except OSError:
            usable = False
        if not usable:
            self._drop()
            self._reused = False

    def _again(self):
        # a kept connection that turns out closed before any of the answer came is no failure (RFC 9112 §9.3.1)
        if not self._reused or self._got_any or self._method not in _IDEMPOTENT:
            return False
        self._reused = False
        self._drop()
        self._start()
        return True

    def poll(self):
        """None while the response is coming, then the Response. OSError when the connection fails or stays silent for timeout_ms,
        HTTPError for an answer that cannot be used, of which client.response has the head that came, or is None; both end the request.
        """
        if not self.busy:
            raise RuntimeError("no request is under way")
        try:
            return self._turn()
        except Exception:
            self.close()
            raise

    def wait(self, ms):
        """Wait until something has come, at most ms."""
        if self._io is not None and not self._more:
            self._io.poll(ms)

    def close(self):
        """Close the connection and forget the request under way."""
        self._drop()
        self._state = _IDLE
        self._message = self._sink = None
        self._in = bytearray()

    def _drop(self):
        if self._io is not None:
            self._io.close()
            self._io = None

    def _turn(self):
        for _ in range(_ROUNDS):
            try:
                n = self._io.readinto(self._buffer)
            except OSError as error:
                return self._ended(error)
            self._more = n > 0
            if n == 0:
                if ticks_diff(ticks_ms(), self._heard) > self._timeout_ms:
                    raise OSError(ETIMEDOUT)
                break
            self._heard = ticks_ms()
            self._got_any = True
            self._in.extend(memoryview(self._buffer)[:n])
            if self._read():
                return self._finish()
        # what was there when somebody came late counts
        if ticks_diff(ticks_ms(), self._begun) > _WHOLE * self._timeout_ms:
            raise OSError(ETIMEDOUT)
        return None

    def _ended(self, error):
        # the connection is over: this is how a body without a length ends, all else is a failure
        if error.args[0] == ECONNRESET and self._state == _BODY and self._left is None:
            return self._finish()
        if not self._again():
            raise error
        return None

    def _read(self):
        # use what has arrived -> True when the response is complete
        while True:
            before = self._state, len(self._in)
            if self._step():
                return True
            if (self._state, len(self._in)) == before:
                return False

    def _step(self):
        state = self._state
        if state == _HEAD:
            return self._take_head()
        if state == _BODY:
            return self._take_body()
        line = self._take_line()
        if line is None:
            return False
        if state == _CHUNK_SIZE:
            self._left = _hex(line.split(b";")[0].strip())
            self._state = _BODY if self._left else _TRAILER
        elif state == _CHUNK_END:
            if line:
                raise HTTPError("a chunk is longer than it says")
            self._state = _CHUNK_SIZE
        else:
            self._trailer += len(line)
            if self._trailer > _HEAD_MAX:
                raise HTTPError("header too long")
            return not line
        return False

    def _take_line(self):
        at = self._in.find(b"\n")
        if at > _LINE_MAX or at < 0 and len(self._in) > _LINE_MAX:
            raise HTTPError("line too long in a chunked body")
        return None if at < 0 else self._take(at + 1).rstrip(b"\r\n")

    def _take(self, n):
        data = bytes(self._in[:n])
        self._in[:n] = b""
        return data

    def _take_head(self):
        at = self._in.find(b"\r\n\r\n")
        if at > _HEAD_MAX or at < 0 and len(self._in) > _HEAD_MAX:
            raise HTTPError("header too long")
        if at < 0:
            if len(self._in) >= 5 and self._in[:5] != b"HTTP/":
                raise HTTPError("the server does not speak HTTP")
            return False
        lines = self._take(at + 4).split(b"\r\n")
        status = _status(lines[0])
        headers = _fields(lines[1:])
        if 100 <= status < 200:
            if status == 101:
                raise HTTPError("the server changed the protocol")
            return False  # an interim response; the state is the same, the buffer is not
        self.response = Response(status, headers)
        return self._begin_body(lines[0], status, headers)

    def _begin_body(self, line, status, headers):
        # how long the body is (RFC 9112 §6.3)
        tokens = headers.get("connection", "").lower()
        self._keep = "close" not in tokens and (line.startswith(b"HTTP/1.1") or "keep-alive" in tokens)
        self._trailer = self._size = 0
        if self._method == "HEAD" or status in (204, 304):
            return True
        coding = headers.get("transfer-encoding")
        self._chunked = coding is not None
        if self._chunked:
            if coding.lower() != "chunked":
                raise HTTPError("unknown transfer coding")
            self._state = _CHUNK_SIZE
            return False
        self._state = _BODY
        length = headers.get("content-length")
        if length is None:
            self._left = None
            self._keep = False
            return False
        self._left = _length(length)
        if not self._sink and self._left > self._most:
            raise HTTPError("body of %d bytes, only %d are taken" % (self._left, self._most))
        return False

    def _take_body(self):
        n = len(self._in)
        if self._left is not None:
            n = min(n, self._left)
            self._left -= n
        if n:
            self._deliver(n)
        if self._left == 0:
            if not self._chunked:
                return True
            self._state = _CHUNK_END
        return False

    def _deliver(self, n):
        # not in pieces, which would be many where little comes at a time
        if self._sink:
            self._sink(memoryview(self._in)[:n])
            # however long it is, it has to get on
            self._size += n
            if self._size >= _BUFFER:
                self._size = 0
                self._begun = ticks_ms()
        else:
            self.response.body.extend(self._in[:n])
            if len(self.response.body) > self._most:
                raise HTTPError("body larger than %d bytes" % self._most)
        # an empty one keeps no memory between two polls
        self._in = self._in[n:]

    def _finish(self):
        # bytes beyond the response would be taken for the next one
        if not self._keep or self._in:
            self._drop()
        self._message = self._sink = None
        self._in = bytearray()
        self._state = _IDLE
        return self.response


def _status(line):
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or len(parts[1]) != 3 or not parts[1].isdigit() or parts[1] < b"100":
        raise HTTPError("malformed status line")
    return int(parts[1])


def _fields(lines):
    headers = {}
    for line in lines:
        if not line:
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise HTTPError("malformed header field")
        try:
            name = name.decode().lower()
            value = value.strip().decode()
        except ValueError:
            continue  # not UTF-8: nothing that we read
        if name in headers:
            if name == "content-length" and value != headers[name]:
                raise HTTPError("two lengths")
            value = value if name == "content-length" else headers[name] + ", " + value
        headers[name] = value
    return headers


def _length(text):
    if not text.isdigit() or len(text) > 12:
        raise HTTPError("malformed Content-Length")
    return int(text)


def _hex(text):
    # int() alone takes signs, spaces and underscores
    if not 0 < len(text) <= 8 or text.strip(b"0123456789abcdefABCDEF"):
        raise HTTPError("malformed chunk size")
    return int(text, 16)
