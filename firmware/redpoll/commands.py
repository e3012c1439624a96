# Commands from the cloud: each runs once, one at a time, in the order they came.
import gc

from micropython import const

from . import log
from .fields import declared, problems
from .flash.record import Record

_LEDGER = const(16)  # commands that are remembered
_QUEUE = const(8)  # commands that may wait
_MESSAGE = const(200)  # characters

IN_PROGRESS = "in_progress"
DONE = "done"
ERROR = "error"
_RESTARTING = const("restarting")

# what a handler returns instead of a message:
# the work goes on; finish() will tell how it ended
LATER = object()
# the board restarts now, and that is the work
RESTART = object()


class Commands:
    """`path` is where the ledger is kept; `report(id, status, message)` tells the cloud, False when there is no link."""

    def __init__(self, path, report):
        self._record = Record(path)
        self._report = report
        # name: (handler, declared fields or None, is it built in?)
        self._handlers = {"ping": (lambda: "pong", {}, True)}
        # [id, status, message], oldest first
        self._ledger = self._record.load_sound([], _sound)[-_LEDGER:]
        self._queue = []
        # the entry that is being worked on, and the command's name
        self._running = None
        self._name = None
        # set when a handler asked for a restart
        self.restart = False
        # entries that the restart has decided, or that ended without a link or memory to tell of it: for tell_decided()
        self._decided = [entry for entry in self._ledger if entry[1] in (IN_PROGRESS, _RESTARTING)]
        for entry in self._decided:
            if entry[1] == _RESTARTING:
                entry[1:] = [DONE, "restarted"]
            else:
                # it had begun when the power went: whether it did its work nobody knows, so it is not done again
                entry[1:] = [ERROR, "interrupted by a restart"]

    def add(self, name, handler, fields=None, built_in=False):
        """Run `handler(**parameters)` for the command `name`. What it returns is the message; it raises to report an error.

        With `fields` (see fields.declared) the parameters are checked first: unknown names, types and bounds. ValueError for a
        second handler; one that is built in can be replaced.
        """
        if name in self._handlers and not self._handlers[name][2]:
            raise ValueError('command "%s" has a handler already' % name)
        self._handlers[name] = (handler, declared(fields) if fields else None, built_in)

    def offer(self, command_id, name, parameters, expires=None, begun=False):
        """A command has come, perhaps not for the first time. One that is in the ledger is answered from there.

        `expires`: Unix milliseconds after which it is not run any more. `begun`: the cloud says that it is in progress; where the
        ledger does not know it, it was lost, and the command is not run a second time.
        """
        for entry in self._ledger:
            if entry[0] == command_id:
                self._report(command_id, entry[1] if entry[1] != _RESTARTING else IN_PROGRESS, entry[2])
                return
        for waiting in self._queue:
            if waiting[0] == command_id:
                return
        if begun:
            self._report(command_id, ERROR, "not run again: its end is forgotten")
            return
        if len(self._queue) >= _QUEUE:
            # it stays pending in the cloud and comes with a later snapshot
            log.warning("command %s: %d wait already", name, _QUEUE)
            return
        self._queue.append((command_id, name, parameters, expires))

    def current(self):
        """The id of the command that is being run, or None."""
        return self._running[0] if self._running else None

    def pending(self):
        """True when a command waits and none is being run."""
        return bool(self._queue) and self._running is None and not self.restart

    def tell_decided(self):
        """Report, once, what the last restart decided and what could not be told when it ended. For when there is a link."""
        while self._decided and self._report(*self._decided[0]):
            self._decided.pop(0)

    def run_next(self, now=None):
        """Run the oldest command that waits. Its handler may take its time; everything else is short. `now`: Unix ms, where known."""
        if not self.pending():
            return
        command_id, name, parameters, expires = self._queue.pop(0)
        entry = [command_id, IN_PROGRESS, ""]
        self._ledger.append(entry)
        if len(self._ledger) > _LEDGER:
            self._ledger.pop(0)
        self._running = entry
        self._name = name
        try:
            if not self._record.try_save(self._ledger):
                # nothing would know of it after a restart, and it would run again
                self.finish(ERROR, "not run: out of flash or memory")
                return
            self._report(command_id, IN_PROGRESS, "")
            if expires is not None and now is not None and now >= expires:
                message = [ERROR, "it had expired"]
            else:
                message = self._run(name, parameters)
            if message is RESTART:
                entry[1] = _RESTARTING
                self._record.try_save(self._ledger)
                self.restart = True
            elif message is not LATER:
                self.finish(*message)
        except MemoryError:
            # one that never ended would hold back all others
            gc.collect()
            self.finish(ERROR, "out of memory")

    def finish(self, status, message):
        """The command whose handler returned LATER has ended."""
        entry = self._running
        if entry is None:
            return
        self._running = None
        entry[1] = status
        try:
            entry[2] = log.redact(message)[:_MESSAGE]
            self._record.try_save(self._ledger)
            log.info("command %s: %s %s", self._name, status, entry[2])
            if self._report(*entry):
                return
        except MemoryError:
            entry[2] = entry[2] or "out of memory"
        self._decided.append(entry)

    def resume(self, command_id):
        """What the restart left in progress goes on: finish() will tell how it ended."""
        for entry in self._decided:
            if entry[0] == command_id:
                self._decided.remove(entry)
                entry[1:] = [IN_PROGRESS, ""]
                self._running = entry
                self._name = "update_firmware"
                return

    def _run(self, name, parameters):
        handler, fields, _ = self._handlers.get(name, (None, None, None))
        if handler is None:
            return [ERROR, "this device has no command %r; it has %s" % (name[:40], ", ".join(sorted(self._handlers)))]
        try:
            if not isinstance(parameters, dict):
                raise ValueError("parameters must be an object, not %s" % type(parameters).__name__)
            if fields is not None:
                wrong = problems(parameters, fields, "is not one of its parameters (%s)" % ", ".join(sorted(fields)))
                if wrong:
                    raise ValueError(wrong)
            message = handler(**parameters)
            if hasattr(message, "throw"):
                raise TypeError("async or generator: it has not run")
            if message is LATER or message is RESTART:
                return message
            # in here, because of what it returned there may be no text
            return [DONE, "" if message is None else str(message)]
        except ValueError as error:
            # how a handler refuses too
            why = str(error) or "ValueError"
        except Exception as error:
            log.trace(error)
            why = log.describe(error)
        return [ERROR, "%s: %s" % (name, why)]


def _sound(stored):
    return isinstance(stored, list) and all([isinstance(entry, list) and [type(text) for text in entry] == [str] * 3 for entry in stored])
