# ruff: noqa: UP031, B904 - runs on MicroPython
# Cuts the power at one change of the flash after the other of a whole update: the download, the restart into the new version, its
# confirmation, or its roll-back; and again in what follows. The board is a real LittleFS with boot.py on it, the code that runs is ours
# whichever version boots; which that is, is looked up in the files. Runs on the MicroPython VM.
import os
import time

import bundle_maker as maker
from redpoll import log, port, update
from redpoll.clock import Clock
from redpoll.update.slots import Slots
from redpoll.update.updater import EDGEHOG, Updater
from root_flash import Board, write
from update_bench import NEW, OLD, URL, UUID, Server, World

# the code under test lies outside of the flash and cannot be loaded while that is "/"
for file in os.listdir(update.__file__.rpartition("/")[0]):
    if file != "__init__.py" and file.endswith(".py"):
        __import__("redpoll.update." + file[:-3])
__import__("redpoll.flash.room")
__import__("redpoll.port.chip")
port.unload = lambda *names: None
AFTER = [("main.py", b"print('1.2.0')\n"), ("lib/readings.py", maker.TEXT)]
LATER = "77777777-2222-3333-4444-555555555555"
VERSIONS = {"1.0.0": dict(OLD), "1.1.0": dict(NEW), "1.2.0": dict(AFTER)}
_BLOCKS = 64
_BOOTS = 30


class Ticks:
    """A clock that goes on as the updater wants."""

    def __init__(self):
        self.ms = 0

    def __call__(self):
        return self.ms


class Fleet:
    """The world outside the board, which outlives its power: a server, who asks for updates, and what came of them."""

    def __init__(self, new, after):
        self.server = Server(new)
        self.after = after
        self.uuid = UUID
        # versions that never reach the cloud
        self.bad = ()
        # every event that came, in order
        self.events = []
        # what the board found wrong with itself
        self.boots = 0

    def asked_again(self):
        """The next update, by another id."""
        self.uuid = LATER
        self.server.data = self.after
        self.server.etag = '"2"'
        self.bad = ()

    def finals(self, uuid):
        return [e for e in self.events if e["uuid"] == uuid and e["status"] in ("Success", "Failure")]


def version_of(folder):
    """The version that lies complete in the folder; AssertionError for anything else."""
    prefix = "" if folder == "/" else folder
    with open(prefix + "/main.py", "rb") as file:
        version = file.read()[7:12].decode()
    for name, content in VERSIONS[version].items():
        with open(prefix + "/" + name, "rb") as file:
            assert file.read() == content, "%s of %s is damaged" % (name, version)
    return version


def boot(board, fleet):
    """One start of the board, to its next restart. True when all is quiet: nothing to do nor to tell."""
    fleet.boots += 1
    folder = board.boot()
    ticks = Ticks()
    world = World(fleet.server)
    world.version = version_of(folder)
    world.tell = fleet.events.append
    slots = Slots()
    updater = Updater("/update", slots, Clock(ticks, lambda: 1628063144122), world)
    known = len(fleet.finals(fleet.uuid))
    if not known and not updater.job:
        # whoever asked has heard nothing: it is asked again
        assert updater.request(EDGEHOG, fleet.uuid, URL) is None or updater.knows(fleet.uuid) or slots.on_trial()
    for _ in range(3000):
        for event in fleet.events:
            if event["status"] in ("Success", "Failure"):
                updater.told(event["uuid"])
        if not updater.busy():
            update.good(False)
            return True
        if slots.on_trial() and world.version not in fleet.bad:
            updater.round_trip()
        ticks.ms += max(1, updater.poll())
        if world.restarts:
            updater._stop()
            return False
    raise AssertionError("it does not end")


def live(board, fleet):
    """From switching on until all is quiet. None when the power was cut."""
    for _ in range(_BOOTS):
        quiet = board.mounted(boot, board, fleet)
        if quiet is not False:
            return quiet
    raise AssertionError("more than %d starts" % _BOOTS)


def check(board, fleet, wanted):
    """After the cut: AssertionError unless the board comes to rest, has told one end, and takes the next update."""
    assert live(board, fleet)
    version = board.mounted(lambda: version_of(board.boot()))
    finals = fleet.finals(UUID)
    assert finals, "no final event"
    ends = {(e["status"], e["code"]) for e in finals}
    assert len(ends) == 1, ends
    status, code = ends.pop()
    assert (status, code, version) in wanted, (status, code, version)
    # told again only where the power went between its acknowledgement and the note of it, once for each of the two cuts, and the same to
    # the last byte, its time included: whoever keeps samples by their time, as Astarte and our hub do, has one
    assert len(finals) <= 3 and all(e == finals[0] for e in finals), finals
    last = [0, -1]
    for event in fleet.events:
        if event["uuid"] == UUID and event["status"] in STEPS:
            step = [STEPS.index(event["status"]), event["progress"]]
            assert step > last, (step, last)
            last = step
    fleet.asked_again()
    assert live(board, fleet)
    assert fleet.finals(LATER)[-1]["status"] == "Success", fleet.finals(LATER)
    assert board.mounted(lambda: version_of(board.boot())) == "1.2.0"
    return len(finals) > 1


STEPS = ("Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting")


def prepare(boot_py, progsize):
    """(image of a board that runs OLD, the two bundles)."""
    board = Board(boot_py, _BLOCKS, progsize)
    for name, content in OLD:
        board.mounted(write, "/" + name, content)
    return bytes(board.device.data), maker.make(NEW, "1.1.0"), maker.make(AFTER, "1.2.0")


def sweep(boot_py, progsize, torn, bad, every, first):
    """Cut at change `first` + 1, then at each `every`-th. `bad`: the new version never reaches the cloud, and is rolled back."""
    log.print = lambda *values: None
    image, new, after = prepare(boot_py, progsize)
    wanted = [("Failure", "SystemRollback", "1.0.0")] if bad else [("Success", "", "1.1.0")]

    def start():
        board = Board(boot_py, _BLOCKS, progsize, image)
        fleet = Fleet(new, after)
        fleet.bad = ("1.1.0",) if bad else ()
        return board, fleet

    board, fleet = start()
    assert live(board, fleet)
    changes = board.device.changes
    check(board, fleet, wanted)
    began = time.ticks_ms()
    tried = twice = most = 0
    for n in range(first + 1, changes + 1, every):
        board, fleet = start()
        board.device.torn = torn
        board.device.cut_at = n
        if live(board, fleet) is not None:
            assert n > changes - 20, "cut %d never came" % n
            continue
        # and once more while it recovers
        board.device.cut_at = board.device.changes + 1 + n % 37
        live(board, fleet)
        board.device.cut_at = 0
        # a trial that was cut off has fewer attempts; three cuts are not what a roll-back is for, two are survived
        try:
            twice += check(board, fleet, wanted)
        except Exception:
            print("cut at change %d of %d, torn %r" % (n, changes, torn))
            raise
        tried += 1
        most = max(most, fleet.boots)
    seconds = time.ticks_diff(time.ticks_ms(), began) / 1000
    print(
        "%s, LittleFS progsize %d, %s: %d of %d cut points tried, each with a second cut while it recovered: 0 bricks, 0 lost or wrong "
        "ends, %d told again alike, %d starts at most; %.0f s"
        % (
            "roll-back" if bad else "update",
            progsize,
            "last write torn" if torn else "last write missing",
            tried,
            changes,
            twice,
            most,
            seconds,
        )
    )
