# An over-the-air update from the request to its one final event (seed 002, reference edgehog-astarte §1).
#
# The record holds what has to be known after a restart: the request that is being worked on with its phase and the last step that was
# told, the final events that nobody has acknowledged yet, and the ids of the last requests that are finished.
#
#   fetch   the idle slot is being filled. After a restart it goes on: what is there already is not fetched again.
#   trial   the slot is complete and boot.py is told to try it. After a restart, either this code runs in it and the cloud confirms it,
#           or another slot runs and it was rolled back, or boot.py was never told, and the phase is `fetch` again.
#
# A firmware image ("image" is the label of its partition) has the chip's bootloader in place of boot.py, which cannot be asked what it
# did. So it has two phases more: `switch` until the bootloader is told, and `kept` from just before it is told to keep the image.
#
# Written in the order: record, then boot state when something begins; boot state, then record when it went well. So at each power cut
# the two tell what happened.
import gc
import os
from binascii import hexlify
from hashlib import sha256

from micropython import const

from .. import log, port, version
from ..fields import kept
from ..flash.record import Record
from ..link import describe
from ..net.http import HTTPError
from ..net.url import parse_url
from .bundle import BadBundle, Checked, Head, Unpacked, check_header, entries, header_size
from .download import Download
from .slots import MANIFEST

_ATTEMPTS = const(5)
_FIRST_WAIT = const(2000)
_STARTS = const(5)
_FIRST = const(512)  # bytes of the first request: no head is shorter
_GAP = const(1024)  # bytes that are rather fetched in between than asked for around
_SPARE = const(6)  # blocks of flash that stay free
_CHUNK = const(512)
_FINISHED = const(8)
_MESSAGE = const(160)
_FAREWELL = const(5000)
_SAVE_AGAIN = const(60000)
_BUSY_MS = const(20)
_QUIET_MS = const(1000)
_URL = const(1024)

_STEPS = ("Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting")
COMMAND = "command"
EDGEHOG = "edgehog"
NOTICE = "notice"


class Failed(Exception):
    """The update ends: statusCode and message of its final event."""


class _Changed(Exception):
    # the bundle is another one than a moment ago
    pass


class Updater:
    """`path` is where its record is kept. `world` is the agent's side of it: see redpoll.update.Update for what it has to offer."""

    def __init__(self, path, slots, clock, world):
        self._record = Record(path)
        self._slots = slots
        self._clock = clock
        self._world = world
        stored = kept(self._record, {}, _sound)
        # what is being worked on: see _accept
        self.job = stored.get("job")
        # final events that are not acknowledged: [uuid, kind, status, code, message, Unix ms or None]
        self.finals = stored.get("finals", [])
        self._finished = stored.get("finished", [])
        # the version that an automatic update failed with
        self.failed = stored.get("failed")
        self._steps = None
        self._not_before = 0
        self._attempts = 0
        self._download = None
        # is it too late to cancel?
        self._deploying = False
        # uptime by which the trial must be confirmed; None: there is none
        self._trial_end = None
        self._unsaved = False
        # uptime when the record is saved again
        self._save_at = 0
        for final in self.finals:
            self._world.tell(_event(final))
        self._wake()

    def _wake(self):
        # what the restart has decided
        job = self.job
        slots = self._slots
        if slots.on_trial():
            self._trial_end = self._clock.ms() + self._world.trial_ms
        if job and job["phase"] != "fetch":
            image = "image" in job
            if self._runs(job):
                if job["phase"] != "kept" if image else slots.on_trial():
                    self._trial_end = self._clock.ms() + self._world.trial_ms
                    self._step("Rebooting", 100)
                else:
                    self._end("Success", "", "")
                return
            if job["phase"] != "switch" if image else slots.rolled_back():
                self._end("Failure", "SystemRollback", "version %s did not prove itself; %s runs again" % (job["to"], self._world.version))
                job = None
        if slots.rolled_back() and not self._unsaved:
            log.warning("update: slot %s was rolled back", slots.rolled_back())
            slots.clear()
        if job:
            job["phase"] = "fetch"
            job.pop("image", None)
            job["starts"] = job.get("starts", 0) + 1
            self._save()
            if job["starts"] > _STARTS:
                self._end("Failure", "InternalError", "the device restarted %d times during the update" % _STARTS)
            else:
                self._steps = self._run()

    def _runs(self, job):
        # does run what the job has put in place?
        if "image" in job:
            from . import image

            return image.running() == job["image"]
        return self._slots.running() == job["slot"]

    # requests

    def request(self, kind, uuid, url, wanted=None, file_id=None, downgrade=False):
        """A request to update -> None when it is taken, else (code, message) why not; "" for one that is known already."""
        if self.knows(uuid) or self.job and self.job["id"] == uuid:
            return ""
        if self.job or self._slots.on_trial():
            return "UpdateAlreadyInProgress", "another update is under way"
        problem = _request_problem(url, wanted, file_id)
        if problem:
            return "InvalidRequest", problem
        self.job = {
            "id": uuid,
            "kind": kind,
            "url": url,
            "file": file_id,
            "want": wanted,
            "downgrade": downgrade is True,
            "phase": "fetch",
            "at": [0, -1],
        }
        log.info("update %s: accepted", uuid[:40])
        self._save()
        self._attempts = 0
        self._deploying = False
        self._steps = self._run()
        return None

    def knows(self, uuid):
        """True for a request that was finished lately."""
        return uuid in self._finished or any(final[0] == uuid for final in self.finals)

    def refuse(self, kind, uuid, code, message):
        """The final event of a request that is not taken."""
        if not self.knows(uuid):
            self._finish(kind, uuid, "Failure", code, message)

    def cancel(self, uuid):
        """Cancel the request of this id -> False when that is not under way. One that deploys already goes on."""
        if not self.job or self.job["id"] != uuid:
            return False
        if self._deploying or self.job["phase"] != "fetch":
            log.warning("update: too late to cancel it")
            return True
        self._stop()
        self._end("Failure", "Canceled", "canceled")
        return True

    # what the agent calls

    def poll(self):
        """Do a little. Returns ms until it wants to be called."""
        now = self._clock.ms()
        if self._unsaved and now >= self._save_at:
            self._save()
        if self._trial_end is not None and now >= self._trial_end:
            self._trial_end = now + self._world.trial_ms
            log.warning("update: the cloud was not reached in time")
            self._world.restart()
        if not self._steps:
            return _QUIET_MS
        if now < self._not_before:
            return self._not_before - now
        try:
            ms = next(self._steps)
        except StopIteration:
            self._steps = None
            return 0
        except Failed as error:
            code, message = error.args
        except BadBundle as error:
            code, message = "InvalidBaseImage", str(error)
        except OSError as error:
            # those of the network were caught where they came up
            code, message = "IOError", "flash: " + describe(error)
        except MemoryError:
            gc.collect()
            code, message = "InternalError", "out of memory"
        except Exception as error:
            log.trace(error)
            code, message = "InternalError", describe(error)
        else:
            self._not_before = now + ms
            return ms
        self._stop()
        self._end("Failure", code, message)
        return 0

    def round_trip(self):
        """The cloud has acknowledged a message: what is on trial has proved itself."""
        if self._trial_end is None:
            return
        job = self.job
        try:
            if job and "image" in job:
                from . import image

                job["phase"] = "kept"
                self._save()
                image.confirm()
            else:
                self._slots.confirm()
        except OSError as error:
            log.warning("update: it cannot be confirmed: %s", describe(error))
            return
        self._trial_end = None
        log.info("update: version %s is confirmed", self._world.version)
        if self.job:
            self._end("Success", "", "")

    def told(self, uuid):
        """All who are to know the final event of this request do."""
        left = [final for final in self.finals if final[0] != uuid]
        if len(left) != len(self.finals):
            self.finals = left
            self._save()

    def busy(self):
        """False when there is nothing left to do nor to tell."""
        return bool(self.job or self.finals or self._unsaved or self._trial_end is not None)

    def waits(self):
        """True while what runs has to prove itself."""
        return self._trial_end is not None

    def close(self):
        """Let go of connection and files; the record stays."""
        self._stop()

    # events

    def _step(self, status, progress):
        # progress goes forward only, also over a restart
        step = [_STEPS.index(status), progress]
        if step <= self.job["at"]:
            return
        self.job["at"] = step
        self._save()
        self._tell(status, progress)

    def _progress(self, status, percent):
        # the tenths up to there
        at = self.job["at"]
        done = at[1] if at[0] == _STEPS.index(status) else -10
        for progress in range(done + 10, percent + 1, 10):
            self._step(status, progress)

    def _tell(self, status, progress, code="", message=""):
        job = self.job
        log.info("update: %s %d %%%s", status, progress, " " + code + ": " + message if code else "")
        event = _event([job["id"], job["kind"], status, code, message[:_MESSAGE], self._clock.wall_at(self._clock.ms())])
        event["progress"] = progress
        event["name"] = job.get("name")
        event["size"] = job.get("size")
        self._world.tell(event)

    def _end(self, status, code, message):
        job = self.job
        self.job = None
        self._trial_end = None
        if job["kind"] == NOTICE:
            # also where an image leaves the application as it is: else it would be offered for ever
            self.failed = job["want"] if status == "Failure" or version.newer(job["want"], self._world.version) else None
        self._finish(job["kind"], job["id"], status, code, message)

    def _finish(self, kind, uuid, status, code, message):
        message = log.redact(message)[:_MESSAGE]
        log.info("update %s: %s%s", uuid[:40], status, " " + code + ": " + message if code else "")
        final = [uuid, kind, status, code, message, self._clock.wall_at(self._clock.ms())]
        self.finals.append(final)
        self._finished.append(uuid)
        self._finished = self._finished[-_FINISHED:]
        self._save()
        self._world.tell(_event(final))

    def _save(self):
        stored = {"finished": self._finished}
        if self.job:
            stored["job"] = self.job
        if self.finals:
            stored["finals"] = self.finals
        if self.failed:
            stored["failed"] = self.failed
        try:
            self._record.save(stored)
            self._unsaved = False
        except (OSError, MemoryError) as error:
            log.warning("update: %s", describe(error))
            self._unsaved = True
            self._save_at = self._clock.ms() + _SAVE_AGAIN

    def _stop(self):
        self._steps = None
        self._not_before = 0
        if self._download:
            self._download.close()
            self._download = None
        gc.collect()

    # the work: generators that yield the ms until they want to go on

    def _run(self):
        self._step("Acknowledged", 0)
        yield 0
        self._step("Acknowledged", 100)
        self._world.key()
        self._step("Downloading", 0)
        yield 0
        url = self.job["url"]
        if not url:
            url = yield from self._find(self.job["file"])
        self._download = Download(url, self._world.client, self._world.heard)
        while True:
            try:
                slot = yield from self._fill()
                break
            except _Changed:
                self._download.changed = False
                self._download.total = self._download._etag = None
        self._download.close()
        self._download = None
        self._switch(slot)
        self._progress("Deploying", 100)
        for status, progress in (("Deployed", 0), ("Deployed", 100), ("Rebooting", 0)):
            self._step(status, progress)
            yield 0
        # what was said last has a moment to leave the board
        end = self._clock.ms() + _FAREWELL
        while self._clock.ms() < end and self._world.telling():
            yield _BUSY_MS
        self._world.restart()

    def _find(self, file_id):
        # the address of a file that the cloud knows by its id
        while True:
            call = None
            try:
                call = self._world.find(file_id)
                found = None
                while found is None:
                    found = call.poll()
                    if found is None:
                        yield _BUSY_MS
                problem = _request_problem(found.get("url"), None, None)
                if problem:
                    raise Failed("InvalidRequest", problem)
                return found["url"]
            except (OSError, HTTPError, ValueError) as error:
                reason = error
            finally:
                if call:
                    call.close()
            yield from self._again(reason)

    def _get(self, first, end, take):
        # Download.get over as many attempts as are left, each going on where the one before broke
        download = self._download
        while True:
            try:
                yield from download.get(first, end, take)
                return
            except (OSError, HTTPError, ValueError, MemoryError) as error:
                reason = error
            download.close()
            yield from self._again(reason)
            if download.changed:
                raise _Changed
            first = download.at

    def _again(self, reason):
        # one attempt has failed
        gc.collect()
        code = "InternalError" if isinstance(reason, MemoryError) else "NetworkError"
        message = describe(reason)
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            raise Failed(code, message)
        self._tell("Error", 100, code, message)
        yield _FIRST_WAIT << (self._attempts - 1)
        step = self.job["at"]
        self._tell(_STEPS[step[0]], step[1])

    def _fill(self):
        # the idle slot becomes what the bundle says -> its name; or the idle partition -> its image.Image
        slots = self._slots
        download = self._download
        try:
            slot = slots.idle()
        except RuntimeError as error:
            raise Failed("UpdateAlreadyInProgress", str(error))
        folder = slots.folder(slot) + "/"
        checked = Checked(_block(slots))
        head = Head(checked.feed)
        yield from self._take_head(head)
        about = checked.end(self._world.key(), head.signature)
        # 4 KB that are not needed any more
        port.unload("redpoll.rsa")
        self._judge(about)
        if checked.image:
            yield 0
            return (yield from self._fill_image(checked.image, about, head.size))
        self._make_room(checked, folder)
        yield 0
        slots.unseal(slot)
        yield from _prune(folder[:-1], "", checked)
        manifest = folder + MANIFEST
        yield from self._store(manifest, head.size, checked.digest)
        signature = head.signature
        checked = head = None
        self.job["name"] = about["name"]
        files = _Files(manifest, download, about["window"], folder)
        running = slots.folder(slots.running()) + "/"
        yield from files.plan(running)
        self.job["size"] = files.total
        gc.collect()
        try:
            for first, end in files.runs:
                yield from self._fetch(files, first, end)
            yield from self._fetch(files, 0, 0)
        finally:
            files.close()
        self._progress("Downloading", 100)
        download.close()
        yield 0
        self._deploying = True
        yield from self._deploy(files, running)
        self.job["to"] = about["version"]
        slots.seal(slot, signature)
        return slot

    def _fill_image(self, entry, about, base):
        from .image import Image

        try:
            image = Image(entry, about["window"])
        except ValueError as error:
            raise Failed("IOError", "too little flash: " + str(error))
        self.job["name"] = about["name"]
        self.job["to"] = about["version"]
        self.job["size"] = size = entry["packed"]
        there = yield from image.same(_nobody)
        if not there:
            end = base + entry["offset"] + size
            for ms in self._get(base, end, lambda data: _flash(image.take, data)):
                self._progress("Downloading", min(99, 100 * image.done // (size or 1)))
                yield ms
            if image.done < size:
                yield from self._short()
            _flash(image.end)
        self._progress("Downloading", 100)
        self._download.close()
        yield 0
        self._deploying = True
        self._step("Deploying", 0)
        there = there or (yield from image.same(lambda percent: self._progress("Deploying", min(99, percent))))
        if not there:
            raise Failed("IOError", "flash: the image cannot be read as it was written")
        return image

    def _take_head(self, head):
        download = self._download
        first, end = 0, _FIRST
        while not head.done:
            yield from self._get(first, end, head.feed)
            first = download.at
            end = first + head.need()
            if not head.done and download.total is not None and first >= download.total:
                yield from self._short()

    def _short(self):
        # the server has less than the bundle must have
        yield from self._again(OSError("the file ends before the bundle does"))
        raise _Changed

    def _judge(self, about):
        if about["boards"] and not any(board in self._world.boards for board in about["boards"]):
            raise BadBundle("it is for %s, this board is %s" % (", ".join([str(b) for b in about["boards"][:4]]), self._world.boards[0]))
        wanted = self.job["want"]
        if wanted and version.parse(wanted) != version.parse(about["version"]):
            raise BadBundle("it is version %s, %s was asked for" % (about["version"], wanted))
        if not self.job["downgrade"] and version.newer(self._world.version, about["version"]):
            raise BadBundle(
                "it is version %s, %s runs: a downgrade has to be allowed in the request" % (about["version"], self._world.version)
            )

    def _make_room(self, checked, folder):
        state = os.statvfs(folder[: folder.rfind("/slot_")] or "/")
        block = _block(self._slots)
        free = state[3] * state[1] // block
        for path in _walk(folder[:-1], ""):
            free += os.stat(folder + path)[6] // block + 1
        needed = checked.blocks + 4 + _SPARE  # the slot's own folder, manifest and signature
        if free < needed:
            raise Failed("IOError", "too little flash: it needs %d KB, %d KB are free" % (needed * block // 1024, free * block // 1024))

    def _store(self, path, size, digest):
        # the manifest, taken a second time: it must be the one that was found good
        hashed = sha256()
        with open(path, "wb") as file:

            def take(data):
                hashed.update(data)
                _flash(file.write, data)

            head = Head(take)
            yield from self._get(0, size, head.feed)
        if not head.done or hashed.digest() != digest:
            raise BadBundle("the manifest is another one than a moment ago")

    def _fetch(self, files, first, end):
        # one run of files; progress is told at each tenth
        if end:
            steps = self._get(first + files.base, end + files.base, files.take)
        else:
            # of files that need no data
            files.take(b"")
            return
        for ms in steps:
            self._progress("Downloading", min(99, 100 * files.done // files.total))
            yield ms
        if files.wants(end):
            yield from self._short()

    def _deploy(self, files, running):
        # all of it is read back, and what was not fetched is copied from the slot that runs
        self._step("Deploying", 0)
        for count, entry in enumerate(entries(files.path), 1):
            path = files.folder + entry["name"]
            same = yield from _same(path, entry)
            if not same:
                _make_folders(files.folder, entry["name"])
                yield from _copy(running + entry["name"], path)
                same = yield from _same(path, entry)
                if not same:
                    raise Failed("IOError", "flash: %s cannot be read as it was written" % entry["name"])
            self._progress("Deploying", min(99, 100 * count // files.count))
            yield 0

    def _switch(self, slot):
        job = self.job
        image = None if isinstance(slot, str) else slot
        if image:
            job["phase"] = "switch"
            job["image"] = image.label
        else:
            job["phase"] = "trial"
            job["slot"] = slot
        self._save()
        if self._unsaved:
            # nobody would know after the restart what it was for
            raise Failed("IOError", "flash: the update's record cannot be saved")
        if image:
            self._slots.guard()
            image.switch()
            job["phase"] = "trial"
            self._save()
        else:
            self._slots.switch(slot)


class _Files:
    # what is fetched into the idle slot: planned, then taken from the stream wherever it begins

    def __init__(self, path, download, window, folder):
        self.path = path
        self.folder = folder
        self._window = window
        self._download = download
        # where the first entry's header is
        self.base = download.at
        # one bit a file: is it fetched?
        self._needed = bytearray(25)
        self.count = 0
        # [begin, end] of what is asked for in one request
        self.runs = []
        self.total = 1
        self.done = 0
        self._entries = None
        self._entry = None
        self._number = 0
        # where the entry's data begins; what is missing of its header and its data
        self._start = 0
        self._header = None
        self._left = 0
        self._file = self._unpacked = None

    def plan(self, running):
        total = 0
        gap = 1 << 30 if self._download.whole else _GAP
        for entry in entries(self.path):
            same = yield from _same(self.folder + entry["name"], entry)
            if not same:
                same = yield from _same(running + entry["name"], entry)
            if not same:
                self._needed[self.count >> 3] |= 1 << (self.count & 7)
                total += entry["packed"]
                begin = entry["offset"] - header_size(entry)
                end = entry["offset"] + entry["packed"]
                if self.runs and begin - self.runs[-1][1] <= gap:
                    self.runs[-1][1] = end
                else:
                    self.runs.append([begin, end])
            self.count += 1
            yield 0
        self.total = total or 1
        self._entries = entries(self.path)
        self._next()

    def _next(self):
        # go to the next entry that is fetched
        self._entry = None
        for entry in self._entries:
            number = self._number
            self._number += 1
            if self._needed[number >> 3] >> (number & 7) & 1:
                self._entry = entry
                self._start = entry["offset"] - header_size(entry)
                self._header = bytearray()
                self._left = entry["packed"]
                return

    def wants(self, end):
        """True when something up to `end` has not come."""
        return self._entry is not None and self._start < end

    def take(self, data):
        """Use what comes at the download's position -> True when it was the last of all."""
        position = self._download.at - self.base
        at = 0
        while self._entry:
            if position + at < self._start:
                at = min(len(data), self._start - position)
            n = min(header_size(self._entry) - len(self._header), len(data) - at)
            if n:
                self._header.extend(data[at : at + n])
                at += n
            if len(self._header) < header_size(self._entry):
                return False
            if not self._file:
                self._open()
            n = min(self._left, len(data) - at)
            if n:
                _flash(self._unpacked.feed, data[at : at + n])
                self._left -= n
                self.done += n
                at += n
            if self._left:
                return False
            _flash(self._file.close)
            self._file = None
            self._unpacked.end()
            self._unpacked = None
            self._next()
        return True

    def _open(self):
        entry = self._entry
        check_header(bytes(self._header), entry["name"].encode(), entry["method"], entry["packed"], entry["size"])
        _flash(_make_folders, self.folder, entry["name"])
        self._file = _flash(open, self.folder + entry["name"], "wb")
        self._unpacked = Unpacked(entry, self._window, self._file)

    def close(self):
        if self._file:
            self._file.close()
            self._file = None
        self._entries = self._entry = self._unpacked = None


def _nobody(percent):
    pass


def _flash(call, *values):
    # within a download the flash's OSError must not be taken for the network's
    try:
        return call(*values)
    except OSError as error:
        raise Failed("IOError", "flash: " + describe(error))


def _same(path, entry):
    # a generator -> True when the file is what the entry says
    try:
        if os.stat(path)[6] != entry["size"]:
            return False
        hashed = sha256()
        buffer = bytearray(_CHUNK)
        turns = 0
        with open(path, "rb") as file:
            while True:
                n = file.readinto(buffer)
                if not n:
                    break
                hashed.update(memoryview(buffer)[:n])
                turns += 1
                if turns % 32 == 0:
                    yield 0
    except OSError:
        return False
    return hexlify(hashed.digest()).decode() == entry["sha256"]


def _copy(source, target):
    buffer = bytearray(_CHUNK)
    turns = 0
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            n = old.readinto(buffer)
            if not n:
                return
            new.write(memoryview(buffer)[:n])
            turns += 1
            if turns % 16 == 0:
                yield 0


def _make_folders(root, name):
    at = name.find("/")
    while at >= 0:
        try:
            os.mkdir(root + name[:at])
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise
        at = name.find("/", at + 1)


def _walk(folder, prefix):
    # the files below a folder; none where it is missing
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            for found in _walk(path, prefix + name + "/"):
                yield found
        else:
            yield prefix + name


def _prune(folder, prefix, checked):
    # remove what the new version does not have
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            yield from _prune(path, prefix + name + "/", checked)
            try:
                os.rmdir(path)
            except OSError:
                pass  # it is not empty
        elif not checked.has(prefix + name):
            os.remove(path)
        yield 0


def _block(slots):
    return max(512, os.statvfs(slots.folder("") or "/")[0])


def _event(final):
    uuid, kind, status, code, message, time = final
    return {"uuid": uuid, "kind": kind, "status": status, "progress": 100, "code": code, "message": message, "time": time}


def _request_problem(url, wanted, file_id):
    if not url and file_id:
        return None if isinstance(file_id, str) and len(file_id) <= 64 and "/" not in file_id else "the file's id is wrong"
    try:
        if not isinstance(url, str) or len(url) > _URL or parse_url(url)[0] not in ("http", "https"):
            raise ValueError('"url" must be an http:// or https:// URL')
        if wanted is not None:
            version.parse(wanted)
    except ValueError as error:
        return str(error)
    return None


def _sound(stored):
    # only this module writes it, behind a checksum; another version may have written something else
    if not isinstance(stored, dict):
        return False
    job = stored.get("job")
    finals = stored.get("finals", [])
    return (
        (
            job is None
            or isinstance(job, dict)
            and all(key in job for key in ("id", "kind", "url", "file", "want", "downgrade", "phase", "at"))
        )
        and isinstance(finals, list)
        and all(isinstance(final, list) and len(final) == 6 for final in finals)
        and isinstance(stored.get("finished", []), list)
    )
