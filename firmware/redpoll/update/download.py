# One file over HTTP, in pieces: by ranges where the server knows them (RFC 9110 §14), else streamed from its beginning.
from micropython import const

from ..net.url import parse_url

_REDIRECTS = const(5)
_IDLE_MS = const(5)
_USELESS = const(4096)  # bytes of an error's body that are waited for
_REDIRECTED = const((301, 302, 303, 307, 308))


class _Enough(Exception):
    # the server has more, but it is not wanted
    pass


class Download:
    """`client(base_url)` makes an HTTPClient; `heard(response)` sees every response."""

    def __init__(self, url, client, heard):
        self._url = url
        self._make = client
        self._heard = heard
        self._base = None
        self._http = None
        # the position in the file that comes next
        self.at = 0
        self._end = self._take = self._skip = None
        # bytes of bodies that came
        self.received = 0
        # does the server send the whole file whatever is asked for?
        self.whole = False
        # bytes of the file, where the server said it, and its ETag
        self.total = self._etag = None
        # is it another file than before, or has what came been used in part?
        self.changed = False

    def get(self, first, end, take):
        """A generator: bring the bytes from `first` up to `end` to take(memoryview), until that returns True; yields ms to wait.

        When it fails, `at` says how far it came. OSError; what `take` raises is passed on.
        """
        self.at = first
        self._end = end
        self._take = take
        url = self._url
        for _ in range(_REDIRECTS + 1):
            self._skip = None
            self._useless = 0
            # what was done until now may have taken long, and opening a connection may too
            yield 0
            try:
                self._ask(url)
                response = None
                while response is None:
                    before = self.received
                    response = self._http.poll()
                    if response is None:
                        yield 0 if self.received != before else _IDLE_MS
            except _Enough:
                self._http.close()
                return
            self._heard(response)
            if response.status not in _REDIRECTED:
                break
            url = _target(url, response.headers.get("location", ""))
        else:
            raise OSError("redirected more than %d times" % _REDIRECTS)
        if response.status not in (200, 206):
            raise OSError("the server answered %d" % response.status)
        if self._skip is None:
            self._begin(0)  # an empty body
        if self.at < self._end:
            raise OSError("the server sent %d bytes too few" % (self._end - self.at))

    def forget(self):
        """What was learned of the file does not hold any more."""
        self.changed = False
        self.total = self._etag = None

    def _ask(self, url):
        scheme, host, port, path = parse_url(url)
        base = "%s://%s:%d" % (scheme, "[%s]" % host if ":" in host else host, port)
        if base != self._base:
            self.close()
            self._http = self._make(base)
            self._base = base
        self._http.request("GET", path, None, {"Range": "bytes=%d-%d" % (self.at, self._end - 1)}, self._sink)

    def _begin(self, first):
        # the response is known, and the first byte of its body: where in the file is that?
        response = self._http.response
        headers = response.headers
        total = headers.get("content-length")
        start = 0
        if response.status == 206:
            start, total = _range(headers.get("content-range", ""))
            if start != self.at:
                raise OSError("the server sent another range")
        elif headers.get("transfer-encoding"):
            total = None
        if not start and first != 0x50 and "text/html" in headers.get("content-type", ""):
            # of a portal or a proxy, which may be gone with the next attempt; a ZIP file, "PK", some servers call text/html too
            raise OSError("the server sent a page, not a file")
        total = int(total) if total and total.isdigit() else None
        etag = headers.get("etag")
        if self.total not in (None, total) or self._etag not in (None, etag):
            self.changed = True
            raise OSError("the file has changed meanwhile")
        self.whole = response.status == 200
        self.total = total
        self._etag = etag
        if total is not None:
            self._end = min(self._end, total)
        self._skip = self.at - start
        headers.clear()  # room for what the body needs

    def _sink(self, data):
        self.received += len(data)
        if self._http.response.status not in (200, 206):
            self._useless += len(data)
            if self._useless > _USELESS:
                raise OSError("the server answered %d" % self._http.response.status)
            return
        if self._skip is None:
            self._begin(data[0])
        if self.at >= self._end:
            # more than was asked for, perhaps without end
            raise _Enough
        skip = min(self._skip, len(data))
        self._skip -= skip
        if skip == len(data):
            return
        data = data[skip : skip + self._end - self.at]
        # where the memory ends in here some of it is used already, and cannot be used again: then all begins anew
        self.changed = True
        done = self._take(data)
        self.changed = False
        self.at += len(data)
        if done or self.whole and self.at >= self._end:
            raise _Enough

    def close(self):
        """Close the connection."""
        if self._http:
            self._http.close()


def _range(text):
    # "bytes 100-199/800" -> 100, "800" or None
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not start.isdigit():
        raise OSError("the server sent no Content-Range")
    return int(start), total


def _target(url, location):
    if location.startswith("/") and not location.startswith("//"):
        end = url.find("/", url.find("://") + 3)
        location = (url if end < 0 else url[:end]) + location
    if not location.startswith("https://") and (not location.startswith("http://") or parse_url(url)[0] == "https"):
        raise OSError("redirected to where it is not safe to go")
    return location
