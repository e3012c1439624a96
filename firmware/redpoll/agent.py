# The loop: what is due, what came in, and who handles it. Only this module knows both the features and the cloud, except that an update
# fetches its file (update/service.py) and tells its events (update/reports.py) by way of the cloud.
import gc
import os

from micropython import const

from . import log, port, update
from .clock import Clock
from .commands import IN_PROGRESS, LATER, RESTART, Commands
from .config import Config
from .config_sync import ConfigSync
from .flash.spool import Spool
from .health import Health
from .link import Link
from .settings import Settings
from .telemetry import Telemetry

_LONGEST_MS = const(1000)  # that the loop waits
_HOPELESS_MS = const(60000)  # without memory
_HEALTH_EVERY_S = const(60)
_FAREWELL_MS = const(1000)  # for what was said last, before a restart
_PATIENCE_MS = const(300000)  # with a product's function that has the loop go on
_REPLAY_MS = const(100)  # between two messages of those that waited on flash
_SLOTS = const(("/slot_a", "/slot_b", "/safe"))
# a name that no server resolves takes 14 s, and nothing can be fed meanwhile
_WATCHDOG_MS = const(30000)
_GOOD_MS = const(60000)  # after which a start has gone well
_RESERVE = const(128)  # for the end of a program that has filled the heap
_OVERRIDE = const(b', "override": true}')  # as Telemetry writes it, now and when it was a key like any other


class Agent:
    """The device's side of the cloud. `settings` is the path of settings.json; the agent's own files lie beside it, in the root.

    Raises SettingsError with all that is wrong in it. `version` is the product's own (SemVer; else the agent's), told to the cloud until
    an update brings another.
    """

    def __init__(self, settings=None, version=None, clock=None):
        from .version import VERSION, running

        port.unload("version")
        # where it runs from a slot, the bundle's manifest is right
        self.version = version = running(version or VERSION)
        self.clock = clock = clock or Clock()
        # where boot.py starts a slot (or safe mode), that is the working directory
        self.settings = settings = Settings(settings or ("/settings.json" if os.getcwd() in _SLOTS else "settings.json"))
        path = settings.state_path
        self.telemetry = Telemetry(clock)
        self.spool = Spool(settings.spool_bytes, path("spool"), settings.spool_flash_bytes, settings.spool_hold * 1000, clock)
        # uptime before which nothing more is sent of what waited on flash; highest number handed to a link, or that this boot began with
        self._next_replay = 0
        self._newest = self.spool.first
        self._config = Config(path("config"))
        self.commands = Commands(path("commands"), self.report)
        # what the cloud said of the place the device stands in, or {}; its version in this session, 0 before it came
        self.space = {}
        self._space_version = 0
        self.link = Link(settings, clock, self, version)
        self._sync = sync = ConfigSync(self, self._config)
        # the highest version that was offered; a person is told of it once (seed 000)
        self._latest = version
        self._listeners = {}
        # a built-in command that takes longer, polled until it says that it is done
        self._task = None
        self._licenses = None
        self._restart_at = None
        # the device id of the last session
        self._registration = None
        # the update that is under way or waits to be told, or None; and who is told of it beside the cloud
        self._update = None
        self.reports = None
        self._good = False
        self._started = False
        self._watchdog = None
        self._reserve = bytearray(_RESERVE)
        self._battery = None
        # polls under way: a product's function that one has called may call it; uptime when memory ended, 0: there is some
        self._depth = self._starved = 0
        # what an adapter calls beside the on_... below (DESIGN §2), and the commands that are built in
        self.on_doubt = self.link.doubt
        self.on_revoked = self.link.revoked
        self.on_config = sync.on_config
        self.on_config_version = sync.on_config_version
        self.on_config_untold = sync.on_config_untold
        self.on_config_taken = sync.on_config_taken
        add = self.commands.add
        # its result is told after the restart
        add("reboot", lambda: RESTART, None, True)
        add("dump", self._dump, None, True)
        add("update_firmware", self._update_firmware, None, True)
        self._health = Health(path("health"))
        # what the start before has left, and what settings ask for
        self.telemetry.add(self.heartbeat, _HEALTH_EVERY_S, True)
        if self._health.ended_by:
            # what was raised stands at the end, and a notice has room for 200 characters
            self.telemetry.notice("ended by " + self._health.ended_by[-190:])
        if settings.sleep:
            from .battery import Battery

            self._battery = Battery(self)
        if update.pending(settings.state_path("update")):
            self._updates()

    # what a product declares

    def sensor(self, every=30):
        """Decorator: call the function every so many seconds; it returns a dict of readings."""
        if callable(every):
            raise _bare("sensor(every=30)")

        def register(function):
            self.telemetry.add(function, every)
            return function

        return register

    def command(self, name, **fields):
        """Decorator: the function runs the command; parameters come by name, it returns a message or raises.

        With fields, `times=(int, 1, 20)`, the parameters are checked before it is called.
        """
        if not isinstance(name, str):
            raise _bare('command("name")')

        def register(function):
            self.commands.add(name, function, fields)
            return function

        return register

    def config(self, *wrong, **fields):
        """Decorator: the function applies a configuration of these fields, `name=(int, 5, 3600)`; it raises to refuse it."""
        if wrong:
            raise _bare("config(name=(int, 5, 3600))")

        def register(function):
            self._config.declare(function, fields)
            return function

        return register

    def on(self, event):
        """Decorator: call the function on "firmware" (version, file_id) or "space" (information)."""
        if event not in ("firmware", "space"):
            raise ValueError('agent.on: "firmware" or "space", not %r' % event)

        def register(function):
            self._listeners[event] = function
            return function

        return register

    # what a product does while it runs

    def every(self, seconds, sensor=None):
        """Read the sensor of this name, or all of the product's, every so many seconds."""
        self.telemetry.every(seconds, sensor)

    def update(self, version, file_id):
        """Update to the firmware that a listener of "firmware" has heard of."""
        self._updates().notice(version, file_id, True)

    def connected(self):
        """True while there is a session with the cloud."""
        return self.link.adapter is not None

    @property
    def licenses(self):
        """What the cloud has unlocked: `agent.licenses.valid(name)`, see licenses.Licenses. Loaded when first asked for."""
        if self._licenses is None:
            if self._task is None:
                self.link.spare()
            from .licenses import of_device

            self._licenses = of_device(self.settings, self.clock)
        return self._licenses

    def refresh(self):
        """Ask the cloud for all that it holds for the device. False while not connected."""
        return self.tell("request_snapshot")

    def update_device(self, **fields):
        """Tell the cloud something of the device, such as name="hall 3" (Update Device, seed 001). False while not connected."""
        return self.tell("send_device", fields)

    def change_config(self, **values):
        """The product changes its own configuration; the cloud takes it over and gives it a version. ValueError as declared."""
        self._config.change(values)
        return self._sync.tell()

    def cloud_setting(self, name, value):
        """Change how the cloud treats the device (Set Cloud Settings, seed 001). False while not connected."""
        return self.tell("send_setting", name, value)

    def heartbeat(self):
        """How the device itself does: a sensor like any other, read every minute."""
        # what a full flash did not take is tried again, once a minute
        self._config.save_again()
        self.settings.save_again()
        told = self._health.readings()
        spool = self.spool
        told["spool_depth"] = len(spool)
        told["spool_dropped"] = spool.dropped
        told["spool_damaged"] = spool.damaged
        if self.telemetry.refused:
            told["readings_refused"] = self.telemetry.refused
        self.link.add_readings(told)
        return told

    def feed(self):
        """For a handler that takes its time: tell the watchdog that all is well."""
        if self._watchdog:
            self._watchdog.feed()

    def watch(self):
        """Start the watchdog, as run() does: for an application that calls poll() itself, and feed() with each."""
        # boot.py has started it for a trial
        if self.settings.watchdog or self._update:
            self._watchdog = port.watchdog(_WATCHDOG_MS)

    def run(self):
        """Go on for ever, with the watchdog watching. An exception that ends it is told after the next start."""
        self.watch()
        try:
            while True:
                self.feed()
                ms = min(self.poll(), _LONGEST_MS)
                if ms and not self.link.wait(ms):
                    port.sleep_ms(ms)
        except Exception as error:
            # what even giving memory back needs, where the heap is full to its last block
            self._reserve = None
            # each of these may fail, not only where the heap is full: first what gives memory back, then what must not be lost
            try:
                self.link.close()
            except Exception:  # noqa: S110 - what ended the program is raised below
                pass
            try:
                # it has the buffer that a connection receives into
                port.unload("cloud.xyte_mqtt")
                gc.collect()
                self.spool.flush()
            except Exception:  # noqa: S110 - what ended the program is raised below
                pass
            self._health.keep(error)
            raise

    def poll(self):
        """Do what is due, without blocking but for a connection that is opened. Returns ms until it wants to be called.

        MemoryError when there has been no memory for a minute: only a restart gives back what is held then.
        """
        self._depth += 1
        if not self._started:
            self._started = True
            # "it runs", for whoever deployed it: what the product declares is behind us
            log.info("Redpoll %s on %s", self.version, port.HARDWARE)
            self._config.start()
        try:
            self._sense()
            self._sync.poll()
            # a configuration that is applied again may have waited nearly as long as the watchdog does
            self.feed()
            ms = self.link.poll()
            # it may have waited nearly as long as the watchdog does, and so may what follows
            self.feed()
            ms = min(ms, self._replay())
            waits = self.spool.poll() or ms
            work = self._work()
            ms = min(ms, waits, work)
            if self._battery and self._depth == 1:
                commands = self.commands
                # one that is only to be told of is on flash, for the next start
                current = self._update
                works = not work or current and current.working()
                busy = works or commands.restart or commands.pending() or commands.current() or self._config.on_trial()
                self._battery.poll(busy, current or not ms)
            self._starved = 0
        except MemoryError:
            gc.collect()
            # where there is no memory for this either, only a restart gives back what is held
            log.warning("out of memory")
            now = self.clock.ms()
            self._starved = self._starved or now
            # not out of a product's function that has called this
            if now - self._starved > _HOPELESS_MS and self._depth == 1:
                raise
            # not sooner, though a sensor is overdue: what holds memory may give it back meanwhile
            return _LONGEST_MS
        except OSError as error:
            # it cannot be read, or is worn
            log.warning("flash: %s", log.describe(error))
            ms = _LONGEST_MS
        finally:
            self._depth -= 1
        return min(ms, self.telemetry.wait_ms())

    def _sense(self):
        telemetry = self.telemetry
        message = telemetry.read(self.feed)
        if message is None:
            return
        try:
            self.spool.append(self.clock.ms(), message)
            telemetry.kept(True)
        except ValueError as error:
            log.warning("telemetry: %s", error)
            self.spool.dropped += 1
            telemetry.kept(False)

    def _replay(self):
        # hand messages to the link while it takes them: new ones at once, beside them what waited on flash at a bounded rate;
        # returns ms until there may be more to do
        ms = _LONGEST_MS
        spool = self.spool
        adapter = self.link.adapter
        while adapter and adapter.ready():
            message = spool.latest()
            if message is None:
                wait = self._next_replay - self.clock.ms()
                if wait > 0:
                    return min(ms, wait)
                message = spool.peek()
                if message is None:
                    return ms
                self._next_replay += _REPLAY_MS - wait
            number, unix_ms, body = message
            if number >= self._newest:
                self._newest = number
            elif body.endswith(_OVERRIDE):
                # the cloud has newer readings by now: the next ones override in its place
                body = body[:-19] + b"}"  # as long as _OVERRIDE, of which the brace stays
                self.telemetry.whole()
            # first marked, so that a link that fails in it takes the mark back
            spool.sent(number)
            self.tell("send_telemetry", number, unix_ms, body, number < spool.first)
            ms = 0
            adapter = self.link.adapter
        return ms

    def _work(self):
        # commands: run one, go on with what takes longer; returns ms until there is more to do
        if self.commands.restart:
            return self._restart()
        if self._task and self._task.poll():
            self._task = None
        if self.clock.ms() >= _GOOD_MS:
            self._went_well()
        ms = _LONGEST_MS
        current = self._update
        if current:
            ms = min(ms, current.poll())
            if not current.busy():
                self._update = None
                update.unload()
                gc.collect()
        if self.commands.pending():
            self.commands.run_next(self.clock.wall_at(self.clock.ms()))
            return 0
        return ms

    def _went_well(self):
        # boot.py counts the starts that did not, and ends them
        if not self._good:
            self._good = True
            port.good()
            update.good(self._health.safe)

    def _restart(self):
        # what was said last has a moment to leave the board
        now = self.clock.ms()
        if self._restart_at is None:
            self._restart_at = now + _FAREWELL_MS
            log.info("restarting")
        # what a product's function has begun is not cut off, unless it seems to have no end
        if now >= self._restart_at + (self._depth - 1) * _PATIENCE_MS:
            try:
                self.link.close()
                self.spool.flush()
            finally:
                # also without memory for these, which only a restart gives back
                port.reset()
        return _FAREWELL_MS // 10

    # for the agent's own parts

    def tell(self, call, *values):
        """Call this of the adapter (DESIGN §2), such as "send_config" -> False when there is no link or it failed in it."""
        adapter = self.link.adapter
        if adapter is None:
            return False
        return self.call(getattr(adapter, call), *values) is not False

    def call(self, function, *values):
        """Call what speaks to the cloud -> what it returns, False when the link failed in it."""
        try:
            return function(*values)
        except Exception as error:
            self.link.broken(error)
            return False
        finally:
            self.feed()

    # what the cloud says (DESIGN §2); called from the adapter's poll()

    def on_link(self, adapter):
        """A session is open, or (None) it is gone."""
        self.spool.rewind()
        self._sync.on_config_untold()
        self._space_version = 0
        if self._update:
            self._update.on_link()
        if not adapter:
            return
        if self.settings.report:
            if not self.reports:
                from .update.reports import Reports

                self.reports = Reports(self.settings, self._asked)
            self.reports.begin(adapter)
        if self._update and self._update.on_trial():
            self.telemetry.soon("heartbeat")
        known = self.settings.credentials
        if not self.spool.whole or self._registration not in (None, known["id"]):
            # what the spool dropped may be what the cloud does not know, or was to forget
            self.spool.whole = True
            self.telemetry.whole()
        self._registration = known["id"]
        if known.get("version") != self.version:
            # also after registration: it says for sure which version runs here now
            self.tell("send_device", {"firmware_version": self.version})
        self.commands.tell_decided()
        if self._config.on_trial():
            # it is kept once a message has arrived: that need not wait for the product's next reading
            self.telemetry.soon("heartbeat")
            return
        self._config.belong(known["id"])
        if self._config.untold:
            self._sync.tell()

    def on_sent(self, number, accepted=True):
        """The cloud has this message of the spool; not `accepted`: it never will, for what the message is."""
        self.spool.acknowledge(number)
        if not accepted:
            self.spool.dropped += 1
            return
        self.link.alive()
        if self._update:
            self._update.round_trip()
        self._went_well()
        self._sync.round_trip()
        self.commands.tell_decided()

    def on_device_told(self, fields):
        """The cloud has what Update Device told it."""
        known = self.settings.credentials
        if known and "firmware_version" in fields:
            known["version"] = fields["firmware_version"]
            self.settings.store(known)

    def on_command(self, command_id, name, parameters, status, expires_at=None):
        """A command has come, perhaps for the second time. One whose ISO time of expiry has passed is not run."""
        expires = None
        if expires_at:
            from .cloud.timestamps import parse_iso

            expires = parse_iso(expires_at)
            if expires is None:
                log.warning("command %s: bad expires_at", name[:40])
        self.commands.offer(command_id, name, parameters, expires, status == IN_PROGRESS)

    def on_license(self, license_id, action, license):
        """A licence is to be added, updated or removed."""
        state, error = self.licenses.on_license(license_id, action, license)
        self.tell("send_license", license_id, state, error)

    def on_space(self, version, information):
        """Where the device stands; `version` when the transport tells it."""
        if version is not None:
            self._space_version = version
        before = self.space
        self.space = information
        # its clock goes on
        if dict(before, local_time=0) != dict(information, local_time=0):
            log.info("space: %s", information.get("name", "unnamed"))
            self._notify("space", information)

    def on_firmware(self, latest, file_id):
        """The cloud has a firmware version: tell of a higher one, once (seed 000)."""
        from .version import newer

        port.unload("version")
        try:
            if self.settings.auto_update and file_id and newer(latest, self.version):
                self._updates().notice(latest, file_id)
            if not newer(latest, self._latest):
                return
        except ValueError as error:
            # over HTTP each reply to telemetry has it
            log.once("firmware notice: %s", str(error))
            return
        self._latest = latest
        log.info("firmware %s is available", latest)
        self._notify("firmware", latest, file_id)

    def config_version(self):
        """Version of the configuration in force."""
        return self._config.version

    def space_version(self):
        """Version of the space information that came in this session, 0 before."""
        return self._space_version

    def on_reported(self, event):
        """The broker has an update event."""
        if self._update:
            self._update.on_reported(event)

    def _asked(self, *request):
        self._updates().edgehog(*request)

    def _update_firmware(self, url=None, version=None, downgrade=False, latest_fw_file_id=None, **more):
        # the built-in command; the checksum and signature that may come too are the manifest's to give
        self._updates().command(self.commands.current(), url, version, latest_fw_file_id or more.get("file_id"), downgrade)
        return LATER

    def _updates(self):
        # the update, loaded when there is one
        if self._update is None:
            self.link.spare()
            from .update.service import Update

            self._update = Update(self)
        return self._update

    def _dump(self):
        # the built-in command: upload the last lines of the log
        from .cloud.files import Dump

        self._task = Dump(self.settings, log.lines(), self.commands.finish)
        return LATER

    def report(self, command_id, status, message):
        """Tell the cloud how a command stands -> False when there is no link or it failed in it."""
        return self.tell("send_command", command_id, status, message)

    def _notify(self, event, *values):
        listener = self._listeners.get(event)
        if listener:
            try:
                listener(*values)
            except Exception as error:
                log.warning("on %s: %s", event, log.describe(error))


def _bare(example):
    return TypeError("no parentheses: write @agent." + example)
