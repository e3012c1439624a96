# Commands from the cloud: each runs once, one at a time, in the order they came.
from micropython import const

from . import log
from .flash.record import Record

_LEDGER = const(16)
_QUEUE = const(8)
_MESSAGE = const(200)

IN_PROGRESS = "in_progress"
DONE = "done"
ERROR = "error"


class Commands:
    """`path` is where the ledger is kept; `report(id, status, message)` tells the cloud."""

    def __init__(self, path, report):
        self._record = Record(path)
        self._report = report
        self._handlers = {"ping": _ping}
        # [id, status, message], oldest first
        self._ledger = self._record.load([])
        self._queue = []
        for entry in self._ledger:
            if entry[1] == IN_PROGRESS:
                # it had begun when the power went: whether it did its work nobody knows, so it is not done again
                entry[1:] = [ERROR, "interrupted by a restart"]

    def add(self, name, handler):
        """Run `handler(**parameters)` for the command `name`. What it returns is the message; it raises to report an error."""
        self._handlers[name] = handler

    def offer(self, command_id, name, parameters):
        """A command has come, perhaps not for the first time. One that is in the ledger is answered from there."""
        for entry in self._ledger:
            if entry[0] == command_id:
                self._report(command_id, entry[1], entry[2])
                return
        for waiting in self._queue:
            if waiting[0] == command_id:
                return
        if len(self._queue) >= _QUEUE:
            # it stays pending in the cloud and comes with a later snapshot
            log.warning("command %s: %d are waiting already", name, _QUEUE)
            return
        self._queue.append((command_id, name, parameters))

    def pending(self):
        """True when a command waits to be run."""
        return bool(self._queue)

    def run_next(self):
        """Run the oldest command that waits. Its handler may take its time; everything else is short."""
        if not self._queue:
            return
        command_id, name, parameters = self._queue.pop(0)
        entry = [command_id, IN_PROGRESS, ""]
        self._ledger.append(entry)
        if len(self._ledger) > _LEDGER:
            self._ledger.pop(0)
        self._record.save(self._ledger)
        self._report(command_id, IN_PROGRESS, "")
        entry[1:] = self._run(name, parameters)
        self._record.save(self._ledger)
        log.info("command %s: %s %s", name, entry[1], entry[2])
        self._report(command_id, entry[1], entry[2])

    def _run(self, name, parameters):
        handler = self._handlers.get(name)
        if handler is None:
            return [ERROR, "this device has no command %r; it has %s" % (name[:40], ", ".join(sorted(self._handlers)))]
        if not isinstance(parameters, dict):
            return [ERROR, "%s: parameters must be an object, not %s" % (name, type(parameters).__name__)]
        try:
            message = handler(**parameters)
        except Exception as error:
            return [ERROR, log.redact("%s: %s" % (name, str(error) or type(error).__name__))[:_MESSAGE]]
        return [DONE, "" if message is None else log.redact(str(message))[:_MESSAGE]]


def _ping():
    return "pong"
