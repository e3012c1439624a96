# An updater with a server, a slot that runs and a clock, all played: what the tests of the update share.
import os
import sys

import bundle_maker as maker
import scratch
from redpoll import port, rsa
from redpoll.clock import Clock
from redpoll.update.slots import Slots
from redpoll.update.updater import EDGEHOG, Updater

OLD = [("main.py", b"print('1.0.0')\n"), ("lib/readings.py", maker.TEXT), ("redpoll/a.mpy", bytes(range(256)) * 9)]
NEW = [
    ("main.py", b"print('1.1.0')\n"),
    ("lib/readings.py", maker.TEXT),
    ("redpoll/a.mpy", bytes(range(255, -1, -1)) * 9),
    ("z.txt", b"z" * 3000),
]
UUID = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
URL = "http://files.example/bundle.zip?signature=1"
_BODY = 4096  # bytes that one poll brings
_key = rsa.load(maker.KEY)
# signing takes long on the VM: bundles that were made before
_made = {}
# on CPython each takes as long as the disk wants
port.sync = lambda file: file.flush()
if sys.implementation.name != "micropython":
    # loading it again takes CPython long
    port.unload = lambda *names: None


class Response:
    """As net.http has it."""

    def __init__(self, status, headers):
        self.status = status
        self.headers = headers
        self.body = bytearray()


class Server:
    """Stands for all servers: `data` is the file, and the rest says how badly it is served."""

    def __init__(self, data):
        self.data = data
        self.ranges = True
        # (status, headers, body) or an exception that the next requests get instead
        self.instead = []
        # positions in the stream of all bodies where the connection breaks
        self.cuts = []
        # positions where nothing comes any more, which the client notices later
        self.stalls = []
        # bytes that one poll brings
        self.pace = _BODY
        self.etag = '"1"'
        # how much shorter Content-Length, or the body, is than it should be
        self.says_less = 0
        self.sends_less = 0
        self.requests = []
        self.sent = 0

    def client(self, base):
        return Client(self, base)


class Client:
    """Stands for net.http.HTTPClient."""

    def __init__(self, server, base):
        self._server = server
        self._base = base
        self.response = None
        self._body = None

    def request(self, method, path, body=None, headers=None, sink=None):
        assert self._body is None, "one request at a time"
        server = self._server
        server.requests.append((self._base, path, headers["Range"]))
        self._sink = sink
        if server.instead:
            instead = server.instead.pop(0)
            if isinstance(instead, Exception):
                raise instead
            self.response = Response(instead[0], instead[1])
            self._body = memoryview(instead[2])
            return
        first, _, last = headers["Range"][6:].partition("-")
        first, last = int(first), min(int(last), len(server.data) - 1)
        headers = {"etag": server.etag} if server.etag else {}
        if server.ranges and first >= len(server.data):
            self.response = Response(416, {})
            self._body = b""
            return
        if server.ranges:
            headers["content-range"] = "bytes %d-%d/%d" % (first, last, len(server.data))
            self._body = memoryview(server.data)[first : last + 1]
        else:
            self._body = memoryview(server.data)
        headers["content-length"] = str(len(self._body) - server.says_less)
        self._body = self._body[: len(self._body) - max(server.says_less, server.sends_less)]
        self.response = Response(206 if server.ranges else 200, headers)

    def poll(self):
        server = self._server
        for _ in range(server.pace // 1024 or 1):
            if not len(self._body):
                self._body = None
                if server.sends_less:
                    raise OSError(104)
                return self.response
            n = min(1024, server.pace, len(self._body))
            for place in (server.cuts, server.stalls):
                if place:
                    n = min(n, max(0, place[0] - server.sent))
                    if not n:
                        place.pop(0)
                        raise OSError(104 if place is server.cuts else 110)
            piece = self._body[:n]
            self._body = self._body[n:]
            server.sent += n
            self._sink(piece)
        return None

    def close(self):
        self._body = None


class World:
    """The agent's side, see update.service.Update: keeps what it is told."""

    def __init__(self, server):
        self.version = "1.0.0"
        self.boards = ("unix",)
        self.trial_ms = 180000
        self.client = server.client
        self.events = []
        self.restarts = 0
        self.files = {}
        self.key_error = None

    def key(self):
        if self.key_error:
            raise self.key_error
        return _key

    def tell(self, event):
        self.events.append(event)

    def telling(self):
        return False

    def heard(self, response):
        pass

    def ready(self):
        pass

    def find(self, file_id):
        raise OSError("unknown file")

    def spare(self):
        pass

    def restart(self):
        self.restarts += 1


class Bench:
    """A board with an empty flash but for OLD, which runs from the root; start() stands for boot.py."""

    def __init__(self, files=NEW, old=OLD, data=None, **about):
        self.ticks = scratch.Ticks()
        self.clock = Clock(self.ticks, lambda: 1628063144122)
        self.root = os.getcwd()
        _remove(self.root)
        for name, content in old:
            scratch.write_below(self.root, name, content)
        self.new = files
        self.server = Server(_make(files, about) if data is None else data)
        self.world = World(self.server)
        self.start("")

    def start(self, slot, version=None):
        """A start of the board with this slot running."""
        for folder in (self.root + "/slot_a", self.root + "/slot_b"):
            while folder in sys.path:
                sys.path.remove(folder)
        if slot:
            sys.path.append(self.root + "/slot_" + slot)
        if version:
            self.world.version = version
        self.slots = Slots(self.root)
        self.updater = Updater("update", self.slots, self.clock, self.world)

    def update(self, uuid=UUID, url=URL, **more):
        """Ask for it, and turn until it ends or restarts the board."""
        assert self.updater.request(EDGEHOG, uuid, url, **more) is None
        self.turn()

    def turn(self, most=5000):
        """Let the updater work until it is done or restarts the board."""
        restarts = self.world.restarts
        for _ in range(most):
            self.ticks.ms += self.updater.poll()
            if self.world.restarts > restarts or not self.updater.job:
                return
        raise AssertionError("it does not end: %r" % self.said())

    def said(self, uuid=UUID):
        """The events of a request: (status, progress, code)."""
        return [(e["status"], e["progress"], e["code"]) for e in self.world.events if e["uuid"] == uuid]

    def final(self, uuid=UUID):
        """(status, code, message) of its one final event."""
        found = [e for e in self.world.events if e["uuid"] == uuid and e["status"] in ("Success", "Failure")]
        assert len(found) == 1, found
        return found[0]["status"], found[0]["code"], found[0]["message"]

    def holds(self, slot):
        """The files of a slot: name -> content, without manifest and signature."""
        found = {}
        scratch.walk(self.root + "/slot_" + slot, "", found)
        for name in ("manifest.json", "manifest.sig"):
            found.pop(name, None)
        return found

    def statuses(self, uuid=UUID):
        """The statuses in the order that they first came; fails where the progress of one goes backwards."""
        seen = []
        last = {}
        for status, progress, _ in self.said(uuid):
            if status not in seen:
                seen.append(status)
            assert progress >= last.get(status, 0), self.said(uuid)
            last[status] = progress
        return seen

    def turn_for(self, ms):
        """Let so much time pass."""
        end = self.ticks.ms + ms
        while self.ticks.ms < end:
            self.ticks.ms += min(max(1, self.updater.poll()), end - self.ticks.ms)


def _make(files, about):
    key = repr((files, sorted(about.items())))
    if key not in _made:
        _made[key] = maker.make(files, **about)
    return _made[key]


def _remove(folder):
    for name in os.listdir(folder):
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            _remove(path)
            os.rmdir(path)
        else:
            os.remove(path)
