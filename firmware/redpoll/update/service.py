# The update as the agent sees it: who asks for it, and who is told. It exists while there is one.
from micropython import const

from .. import log, port
from .errors import Failed
from .slots import Slots
from .updater import COMMAND, EDGEHOG, NOTICE, Updater

_EVENTS = const(24)  # that wait to be told
# how long an event waits for the clock to be set
_CLOCK_MS = const(15000)
_FINAL = const(("Success", "Failure"))


class Update:
    """`agent` is the Agent."""

    def __init__(self, agent):
        self._agent = agent
        settings = agent.settings
        self._settings = settings
        self.version = agent.version
        # what a bundle may call this board: its chip, where it is one
        self.boards = (port.chip_name() or port.HARDWARE[8:], port.HARDWARE, settings.hardware_key)
        self.trial_ms = settings.trial_timeout * 1000
        # events that are not told yet, oldest first
        self._events = []
        self._updater = Updater(settings.state_path("update"), Slots(), agent.clock, self)
        job = self._updater.job
        if job and job["kind"] == COMMAND:
            agent.commands.resume(job["id"])
        # the restart is not to be told as the end of a command whose real end is known
        for event in self._events:
            if event["kind"] == COMMAND and event["status"] in _FINAL:
                self._see(event)

    # requests

    def command(self, command_id, url, wanted, file_id, downgrade):
        """The command update_firmware. ValueError when it is refused."""
        if self._updater.knows(command_id):
            # the ledger was lost; waiting for an end that has come would hold back all other commands
            raise ValueError("not run again: its end is forgotten")
        refusal = self._updater.request(COMMAND, command_id, url, wanted, file_id, downgrade)
        if refusal:
            raise ValueError("%s: %s" % refusal)

    def edgehog(self, operation, uuid, url):
        """An OTARequest (reference edgehog-astarte §2)."""
        updater = self._updater
        refusal = "InvalidRequest", '"operation" must be Update or Cancel'
        if operation == "Update":
            refusal = updater.request(EDGEHOG, uuid, url)
        elif operation == "Cancel":
            refusal = "InvalidRequest", "there is no such update to cancel"
            if updater.cancel(uuid):
                refusal = None
        if refusal and updater.job and updater.job["id"] == uuid:
            # a failure under the id of an update that goes on would end it for whoever reads it
            log.warning("OTARequest: %s", refusal[1])
        elif refusal:
            updater.refuse(EDGEHOG, uuid, *refusal)

    def notice(self, version, file_id, chosen=False):
        """The cloud has a newer version; once an automatic update to it has failed, that is left to a person, who has `chosen` it."""
        updater = self._updater
        if updater.job or updater.failed == version and not chosen:
            return
        from os import urandom

        digits = "".join(["%02x" % byte for byte in urandom(16)])
        uuid = "-".join((digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:]))
        log.info("update to %s, %s", version, "as it was chosen" if chosen else "because settings allow it")
        refusal = updater.request(NOTICE, uuid, None, version, file_id)
        if refusal:
            log.warning("update: %s", refusal[1])

    # what the agent calls

    def poll(self):
        """Do a little. Returns ms until it wants to be called."""
        self._deliver()
        ms = self._updater.poll()
        # it may have waited nearly as long as the watchdog does, and so may the command that follows
        self._agent.feed()
        return ms

    def busy(self):
        """False when there is nothing left to do nor to tell."""
        return self._updater.busy() or bool(self._events)

    def round_trip(self):
        """The cloud has acknowledged a message."""
        self._updater.round_trip()

    def on_link(self):
        """There is a new session or none: what was not acknowledged is told again."""
        for event in self._events:
            event["told"] = event["open"] = 0

    def on_reported(self, event):
        """The cloud has an event of one reporter."""
        event["open"] = event.get("open", 0) - 1

    def on_trial(self):
        """True while what runs has to prove itself."""
        return self._updater.waits()

    # what the updater calls

    def key(self):
        """The rsa.Key that bundles must be signed with. Failed without one."""
        from .. import rsa

        source = self._settings.update_key
        if not source:
            raise Failed("InvalidBaseImage", 'settings.json has no "update_key": nothing can be verified')
        try:
            return rsa.find(source)
        except ValueError as error:
            raise Failed("InvalidBaseImage", 'settings.json: "update_key": %s' % error)

    def ready(self):
        """OSError while the Wi-Fi is down: a Pico W would look for the server's name up to 14 s (micropython#18797: for ever)."""
        radio = self._agent.link.radio
        if radio and not radio.up():
            raise OSError("the Wi-Fi is down")

    def client(self, base_url):
        """An HTTPClient."""
        from ..cloud.https import https_client

        return https_client(self._settings, base_url)

    def heard(self, response):
        """A response came: it may tell the time."""
        from ..cloud.https import learn_time

        learn_time(self._agent.clock, response)

    def find(self, file_id):
        """What has poll() -> the cloud's description of a file, None while it is coming."""
        from ..cloud.files import FileInfo

        # gone with the answer: the download needs the memory
        port.unload("cloud.files")
        return FileInfo(self._settings, file_id)

    def tell(self, event):
        """An event that everybody is to know, see cloud.astarte.Reporter.report."""
        event["ms"] = self._agent.clock.ms()
        self._events.append(event)
        if len(self._events) > _EVENTS:
            # steps on the way give room for the end
            for at in range(len(self._events)):
                if self._events[at]["status"] not in _FINAL:
                    self._events.pop(at)
                    break

    def working(self):
        """True while an update is under way or on trial; else there may be one to be told of."""
        return bool(self._updater.job) or self.on_trial()

    def telling(self):
        """True while there is an event that could be told and is not."""
        return bool(self._events) and self._agent.connected()

    def spare(self):
        """Give back the memory that only the download needed."""
        self._agent.link.spare()

    def restart(self):
        """Restart the board in good order."""
        self._agent.commands.restart = True

    # inside

    def _deliver(self):
        while self._events:
            event = self._events[0]
            self._see(event)
            if not self._tell_reporters(event):
                return
            if event in self._events:
                self._events.remove(event)
            if event["status"] in _FINAL:
                self._updater.told(event["uuid"])

    def _see(self, event):
        if "seen" not in event:
            # twice does no harm where memory was short, and not at all would leave the command running for ever
            self._tell_cloud(event)
            event["seen"] = True

    def _tell_cloud(self, event):
        # Xyte: the command goes on or has ended; a failed update without a command is a notice in the telemetry
        agent = self._agent
        text = ": ".join([part for part in (event["code"], event["message"]) if part])
        final = event["status"] in _FINAL
        if event["kind"] == COMMAND:
            if final:
                ended = "version %s runs" % self.version
                agent.commands.resume(event["uuid"])
                if agent.commands.current() == event["uuid"]:
                    agent.commands.finish("done" if event["status"] == "Success" else "error", text or ended)
            elif event["progress"] % 100 == 0 or self._settings.transport == "mqtt":
                step = event["status"] if event["status"] == "Error" else "%s %d %%" % (event["status"], event["progress"])
                agent.report(event["uuid"], "in_progress", "%s, %s" % (step, text) if text else step)
        elif event["status"] == "Failure":
            agent.telemetry.notice("update failed: " + text)

    def _tell_reporters(self, event):
        # True when all of them know; of a final event they have to acknowledge it
        agent = self._agent
        reports = agent.reports
        if not self._settings.report:
            return True
        adapter = agent.link.adapter
        if adapter is None or reports is None:
            return False
        if event["time"] is None:
            clock = agent.clock
            event["time"] = clock.wall_at(event["ms"])
            if event["time"] is None and clock.ms() - event["ms"] < _CLOCK_MS:
                return False
        if not agent.call(reports.send, adapter, event):
            return False
        return event["status"] not in _FINAL or event.get("open", 0) <= 0
