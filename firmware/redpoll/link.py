# The way to the cloud: register, connect, stay connected, begin again. Every failure waits longer than the one before.
import gc

from micropython import const

from . import log, port
from .backoff import Backoff

_BUSY_MS = const(1000)
_TRUST_MS = const(3600000)
# a session that lasted so long was a good one
_STABLE_MS = const(60000)
# the wait between two attempts after which memory for one is no longer expected
_HOPELESS_MS = const(100000)


class Link:
    """Drives one adapter. `handler` is the agent: it gets on_link(adapter) when a session is open, on_link(None) when it is lost."""

    def __init__(self, settings, clock, handler, version):
        self._settings = settings
        self._clock = clock
        self.handler = handler
        self._version = version
        self._backoff = Backoff()
        self._not_before = 0
        # a Registration or a Check under way
        self._job = None
        # do the credentials still hold? Asked before the next connection
        self._doubtful = False
        self._verified = None
        self.adapter = None
        # uptime of the last round trip of this session, or None
        self.alive_at = None
        # uptime when the session began
        self._since = 0
        self.failures = 0
        # why there was no session last, for the next heartbeat; None when there always was one
        self.trouble = None
        # the Wi-Fi, where one is asked for
        self.radio = None
        # inbound messages that earlier sessions could not take
        self._dropped = 0

    def poll(self):
        """Do what is due. Returns ms until it wants to be called. Blocks only to open a connection."""
        wait = self._not_before - self._clock.ms()
        try:
            if self._settings.wifi_ssid and (self.radio or wait <= 0):
                if not self.radio:
                    from .radio import Radio

                    self.radio = Radio(self, self._clock, self._settings)
                wait = self.radio.poll()
                if wait:
                    return wait
                wait = self._not_before - self._clock.ms()
            if wait <= 0:
                wait = self._step()
        except Exception as error:
            # the radio is looked at while the link waits too
            if wait <= 0:
                wait = self.broken(error)
        return min(wait, self.radio.look_ms) if self.radio else wait

    def add_readings(self, told):
        """Add what a heartbeat tells of the link to a dict of readings."""
        told["link_failures"] = self.failures
        # messages that were too large to take, since the start
        told["inbound_dropped"] = self._dropped + (self.adapter.dropped() if self.adapter else 0)
        if self.trouble:
            told["link_trouble"] = self.trouble
        if self.radio:
            self.radio.add_readings(told)

    def wait(self, ms):
        """Wait until something comes from the cloud, at most so long. False when there is nothing to wait on."""
        source = self._job or self.adapter
        if not source:
            return False
        try:
            return source.wait(ms)
        except Exception as error:
            self.broken(error)
            return True

    def alive(self):
        """A round trip with the cloud was completed. In a session that has lasted, the next failure starts with a short wait again."""
        self.alive_at = self._clock.ms()
        if self.alive_at - self._since >= _STABLE_MS:
            self._backoff.reset()

    def doubt(self):
        """The cloud stays silent. Unless that was looked into lately, ask over HTTPS whether it still knows this device."""
        now = self._clock.ms()
        if self._verified is None or now - self._verified > _TRUST_MS:
            self.close()
            self._doubtful = True

    def revoked(self):
        """The cloud has removed the device: forget the credentials and register again."""
        log.warning("the cloud does not know this device any more; registering again")
        self.close()
        self._settings.forget()
        self._doubtful = False
        # a cloud that registers a device and then refuses it must not be asked without end
        self._not_before = self._clock.ms() + self._backoff.next()

    def spare(self):
        """Forget the modules that only registering, uploading and updating need."""
        if not self._job:
            port.unload("cloud.registration", "cloud.files", "settings_rules")
            if self._settings.transport == "mqtt":
                port.unload("cloud.https", "net.http")
            gc.collect()

    def restart(self):
        """Begin again at once, with other settings: what was learned of the way before does not count."""
        self.close()
        if self.radio and not self._settings.wifi_ssid:
            # what is on trial has to do without it too
            self.radio.off()
            self.radio = None
        self._not_before = 0
        self._backoff.reset()
        self._doubtful = False
        self._verified = None

    def _step(self):
        if self._job:
            done = self._job.poll()
            if done is None:
                return _BUSY_MS
            self._end_job()
            if done is False:
                self.revoked()
            elif done is True:
                self._verified = self._clock.ms()
            else:
                done["version"] = self._version
                self._settings.store(done)
                log.info("registered as %s", done["id"])
            return 0
        if self.adapter:
            return self._turn(self.adapter)
        gc.collect()  # a TLS handshake wants one large piece
        if not self._settings.credentials:
            from .cloud.registration import Registration

            log.info("registering at %s", self._settings.entry)
            self._job = Registration(self._settings, self._clock, self._version)
        elif self._doubtful:
            from .cloud.registration import Check

            # asked once: when HTTPS fails too, the next attempt is a connection again
            self._doubtful = False
            self._job = Check(self._settings)
        else:
            self._connect()
        return 0

    def _turn(self, adapter):
        try:
            return adapter.poll()
        except Exception:
            if self.adapter is adapter:
                raise
            # it was closed from within (revoked, in doubt, a failed answer), which is dealt with
            return 0

    def _connect(self):
        if self._settings.transport == "http":
            from .cloud.xyte_http import Adapter
        else:
            self.spare()
            from .cloud.xyte_mqtt import Adapter
        adapter = Adapter(self._settings, self._clock, self.handler)
        try:
            adapter.connect()
        except Exception:
            self._doubtful = adapter.denied
            adapter.close()
            raise
        self.adapter = adapter
        self._since = self._clock.ms()
        log.info(adapter.BEGUN)
        self.handler.on_link(adapter)

    def broken(self, error):
        """The session failed in somebody's hands: close it and wait. RuntimeError when for long there has been no memory for one."""
        self.failures += 1
        wait = getattr(error, "wait_ms", None) or self._backoff.next()
        why = self.trouble = log.describe(error)
        log.warning("link: %s; again in %d.%d s", why, wait // 1000, wait % 1000 // 100)
        self.close()
        self._not_before = self._clock.ms() + wait
        if isinstance(error, MemoryError):
            self.spare()
            if wait > _HOPELESS_MS:
                # what the product holds is not given back: only a restart does that
                raise RuntimeError(why)
        return wait

    def close(self):
        """End the session; the next poll() begins again."""
        self._end_job()
        self.alive_at = None
        adapter = self.adapter
        if adapter:
            self.adapter = None
            self._dropped += adapter.dropped()
            adapter.close()
            self.handler.on_link(None)

    def _end_job(self):
        if self._job:
            self._job.close()
            self._job = None
