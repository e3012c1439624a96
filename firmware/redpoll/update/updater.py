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
#
# The work itself is done by prepare, fill and deploy, or by image, each in memory only while it is needed.
import gc

from micropython import const

from .. import log, port
from ..flash.record import Record
from .errors import BadBundle, Changed, Failed

_STARTS = const(5)  # in which one update may be worked on
_FINISHED = const(8)  # ids that are remembered
_FINALS = const(16)  # that wait to be told
_MESSAGE = const(160)  # characters
_FAREWELL_MS = const(5000)  # for what was said last, before the restart
_SAVE_AGAIN_MS = const(60000)
_BUSY_MS = const(20)
_QUIET_MS = const(1000)

_STEPS = const(("Acknowledged", "Downloading", "Deploying", "Deployed", "Rebooting"))
COMMAND = "command"
EDGEHOG = "edgehog"
NOTICE = "notice"


class Updater:
    """`path` is where its record is kept. `world` is the agent's side of it: see service.Update for what it has to offer."""

    def __init__(self, path, slots, clock, world):
        self._record = Record(path)
        self._slots = slots
        self._clock = clock
        self._world = world
        stored = self._record.load_sound({}, _sound)
        # what is being worked on: see _accept
        self.job = stored.get("job")
        # final events that are not acknowledged: [uuid, kind, status, code, message, Unix ms or None]
        self.finals = stored.get("finals", [])
        self._finished = stored.get("finished", [])
        # the version that an automatic update failed with
        self.failed = stored.get("failed")
        self._steps = None
        self._not_before = 0
        self._source = None
        # is it too late to cancel?
        self._deploying = False
        # will the next start try it, whatever comes before?
        self._decided = False
        # uptime by which the trial must be confirmed; None: there is none
        self._trial_end = None
        self._unsaved = False
        # uptime when the record is saved again
        self._save_at = 0
        # final events that the world does not have yet
        self._waiting = self.finals[:]
        self._deliver()
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
            try:
                slots.clear()
            except OSError as error:
                # the flash is full or worn; the next start tries again
                log.warning("update: %s", log.describe(error))
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
        if len(self.finals) >= _FINALS:
            return "InternalError", "nobody could be told yet how %d others have ended" % _FINALS
        from .source import request_problem

        problem = request_problem(url, wanted, file_id)
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
        self._deploying = False
        self._steps = self._run()
        return None

    def knows(self, uuid):
        """True for a request that was finished lately."""
        return uuid in self._finished or any(final[0] == uuid for final in self.finals)

    def refuse(self, kind, uuid, code, message):
        """The final event of a request that is not taken. One more than can wait to be told is only logged."""
        if len(self.finals) >= _FINALS:
            log.warning("update %s: %s", uuid[:40], message)
        elif not self.knows(uuid):
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
        # for which there was no memory when they came
        self._deliver()
        if self._unsaved and now >= self._save_at:
            self._save()
        if self._trial_end is not None and now >= self._trial_end:
            self._trial_end = now + self._world.trial_ms
            log.warning("update: the cloud was not reached in time")
            self._world.restart()
        if not self._steps:
            if self.job and self.job["phase"] == "fetch":
                # there was no memory left to end it
                self._end("Failure", "InternalError", "out of memory")
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
            code, message = "IOError", "flash: " + log.describe(error)
        except MemoryError:
            gc.collect()
            code, message = "InternalError", "out of memory"
        except Exception as error:
            log.trace(error)
            code, message = "InternalError", log.describe(error)
        else:
            self._not_before = now + ms
            return ms
        self._stop()
        if self._decided:
            # too late to fail: how it ends is told after the restart
            self._world.restart()
            log.warning("update: %s: %s", code, message)
        else:
            self._end("Failure", code, message)
        return 0

    def round_trip(self):
        """The cloud has acknowledged a message: what is on trial has proved itself."""
        if self._trial_end is None:
            return
        job = self.job
        if job and job["phase"] == "fetch":
            # it goes on: what proved itself was put in place by another way
            job = None
        try:
            if job and "image" in job:
                from . import image

                job["phase"] = "kept"
                self._save()
                image.confirm()
            else:
                self._slots.confirm()
        except OSError as error:
            log.warning("update: it cannot be confirmed: %s", log.describe(error))
            return
        log.info("update: version %s is confirmed", self._world.version)
        if job:
            self._end("Success", "", "")
        # last: without memory for it, it is told after the next round trip
        self._trial_end = None

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
        if job["kind"] == NOTICE:
            # also where an image leaves the application as it is: else it would be offered for ever
            self.failed = job["want"] if status == "Failure" or job["want"] != self._world.version else None
        self._finish(job["kind"], job["id"], status, code, message)

    def _finish(self, kind, uuid, status, code, message):
        message = log.redact(message)[:_MESSAGE]
        log.info("update %s: %s%s", uuid[:40], status, " " + code + ": " + message if code else "")
        final = [uuid, kind, status, code, message, self._clock.wall_at(self._clock.ms())]
        self.finals.append(final)
        self._waiting.append(final)
        if self.job and self.job["id"] == uuid:
            self.job = None
        self._finished.append(uuid)
        self._finished = self._finished[-_FINISHED:]
        self._save()
        self._deliver()

    def _deliver(self):
        while self._waiting:
            self._world.tell(_event(self._waiting[0]))
            self._waiting.pop(0)

    def _save(self):
        self._unsaved = True
        self._save_at = self._clock.ms() + _SAVE_AGAIN_MS
        stored = {"finished": self._finished}
        if self.job:
            stored["job"] = self.job
        if self.finals:
            stored["finals"] = self.finals
        if self.failed:
            stored["failed"] = self.failed
        self._unsaved = not self._record.try_save(stored)

    def _stop(self):
        steps = self._steps
        self._steps = None
        self._not_before = 0
        if steps:
            try:
                # MicroPython closes no files of a generator that is only forgotten, until they are collected: over the next update's
                steps.close()
            except OSError:
                pass  # a full flash
        self._close_source()

    # the work: generators that yield the ms until they want to go on

    def _run(self):
        self._step("Acknowledged", 0)
        yield 0
        self._step("Acknowledged", 100)
        self._world.key()
        self._step("Downloading", 0)
        yield 0
        from .source import Source

        source = self._source = Source(self._world, self._tell_failed, self._tell_resumed)
        yield from source.find(self.job["url"], self.job["file"])
        while True:
            try:
                target = yield from self._work(source)
                break
            except Changed:
                source.forget()
        self._switch(target)
        self._progress("Deploying", 100)
        for status, progress in (("Deployed", 0), ("Deployed", 100), ("Rebooting", 0)):
            self._step(status, progress)
            yield 0
        # what was said last has a moment to leave the board
        end = self._clock.ms() + _FAREWELL_MS
        while self._clock.ms() < end and self._world.telling():
            yield _BUSY_MS
        self._world.restart()

    def _work(self, source):
        # the idle slot becomes what the bundle says -> its name; or the idle partition -> its image.Image
        from . import prepare

        job = self.job
        slots = self._slots
        prepared = yield from prepare.run(source, slots, self._world, job)
        del prepare
        _forget("prepare", "manifest")
        job["name"] = prepared.about["name"]
        job["to"] = prepared.about["version"]
        window = prepared.about["window"]
        # the rest is not needed any more
        prepared.about = None
        if prepared.image:
            from . import image

            target = image.Image(prepared.image, window)
            there = yield from image.fetch(target, source, prepared.base, job, self._progress)
            self._close_source()
            yield 0
            self._deploying = True
            yield from image.check(target, there, self._progress)
            return target
        from . import fill

        target = prepared.slot
        folder = slots.folder(target) + "/"
        running = slots.folder(slots.running()) + "/"
        count = yield from fill.run(source, prepared.base, window, folder, running, job, self._progress)
        signature = prepared.signature
        del fill, source, prepared
        self._close_source()
        _forget("fill", "unpack")
        yield 0
        self._deploying = True
        from . import deploy

        yield from deploy.run(folder, running, count, self._progress)
        slots.seal(target, signature)
        return target

    def _tell_failed(self, code, message):
        self._tell("Error", 100, code, message)

    def _tell_resumed(self):
        step = self.job["at"]
        self._tell(_STEPS[step[0]], step[1])

    def _close_source(self):
        if self._source:
            self._source.close()
            self._source = None
        self._world.spare()

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
        else:
            self._slots.switch(slot)
        self._decided = True
        # also of an image; it is saved with the next step
        job["phase"] = "trial"


def _forget(*names):
    # give back the memory of these modules of the package
    port.unload(*["update." + name for name in names])
    gc.collect()


def _event(final):
    uuid, kind, status, code, message, time = final
    return {"uuid": uuid, "kind": kind, "status": status, "progress": 100, "code": code, "message": message, "time": time}


def _sound(stored):
    # only this module writes it, behind a checksum; another version may have written something else
    if not isinstance(stored, dict):
        return False
    job = stored.get("job")
    finals = stored.get("finals", [])
    return (
        (job is None or isinstance(job, dict) and _usable(job))
        and isinstance(finals, list)
        and all(isinstance(final, list) and len(final) == 6 for final in finals)
        and isinstance(stored.get("finished", []), list)
    )


def _usable(job):
    at = job.get("at")
    return (
        all(key in job for key in ("id", "kind", "url", "file", "want", "downgrade", "phase"))
        and isinstance(job["id"], str)
        and isinstance(at, list)
        and [type(number) for number in at] == [int, int]
        # also a phase that only a newer version knows, which was rolled back
        and (job["phase"] == "fetch" or "to" in job and ("slot" in job or "image" in job))
    )
