# Where a bundle comes from: five attempts with growing waits, each going on where the one before broke.
import gc

from micropython import const

from .. import log, version
from ..net.url import parse_url
from .download import Download
from .errors import Changed, Failed

_ATTEMPTS = const(5)
_FIRST_WAIT_MS = const(2000)  # doubled with each attempt
_BUSY_MS = const(20)
_URL = const(1024)  # characters


def request_problem(url, wanted, file_id):
    """What is wrong with an update's URL (or the cloud's id of its file) and the version that is wanted; None when nothing is."""
    try:
        if wanted is not None:
            version.parse(wanted)
        if not url and file_id:
            return None if isinstance(file_id, str) and len(file_id) <= 64 and "/" not in file_id else "the file's id is wrong"
        if not isinstance(url, str) or len(url) > _URL or parse_url(url)[0] not in ("http", "https"):
            raise ValueError('"url" must be an http:// or https:// URL')
    except ValueError as error:
        return str(error)
    return None


class Source:
    """`world` is the updater's; `failed(code, message)` is called when an attempt has failed, `resumed()` when the next one begins."""

    def __init__(self, world, failed, resumed):
        self._world = world
        self._failed = failed
        self._resumed = resumed
        self._attempts = 0
        self._download = None

    def find(self, url, file_id):
        """A generator: begin with this URL, or with the file that the cloud knows by this id. Failed."""
        if not url:
            url = yield from self._ask(file_id)
        self._download = Download(url, self._world.client, self._world.heard)

    def get(self, first, end, take):
        """Download.get over as many attempts as are left. Failed, and Changed when it is another bundle than before."""
        download = self._download
        while True:
            try:
                download.at = first
                self._world.ready()
                yield from download.get(first, end, take)
                return
            except (OSError, ValueError, MemoryError) as error:
                reason = error
            download.close()
            yield from self._again(reason)
            if download.changed:
                raise Changed
            first = download.at

    def short(self):
        """The server has less than the bundle must have: an attempt has failed. Failed or Changed."""
        yield from self._again(OSError("the file ends before the bundle does"))
        raise Changed

    def at_end(self):
        """True when the server says that the file ends where the next byte would be."""
        total = self._download.total
        return total is not None and self._download.at >= total

    @property
    def at(self):
        """The position in the bundle that comes next."""
        return self._download.at

    @property
    def whole(self):
        """Does the server send the whole file whatever is asked for?"""
        return self._download.whole

    def forget(self):
        """What was learned of the file does not hold any more."""
        self._download.forget()

    def close(self):
        """Close the connection."""
        if self._download:
            self._download.close()

    def _ask(self, file_id):
        # the address of a file that the cloud knows by its id
        while True:
            call = None
            try:
                self._world.ready()
                call = self._world.find(file_id)
                found = None
                while found is None:
                    found = call.poll()
                    if found is None:
                        yield _BUSY_MS
                problem = request_problem(found.get("url"), None, None)
                if problem:
                    raise Failed("InvalidRequest", problem)
                return found["url"]
            except (OSError, ValueError) as error:
                reason = error
            finally:
                if call:
                    call.close()
            yield from self._again(reason)

    def _again(self, reason):
        gc.collect()
        code = "InternalError" if isinstance(reason, MemoryError) else "NetworkError"
        message = log.describe(reason)
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            raise Failed(code, message)
        self._failed(code, message)
        yield _FIRST_WAIT_MS << (self._attempts - 1)
        self._resumed()
