# The configuration between the product and the cloud: what comes is tried, what is in force is told.
from micropython import const

from . import log
from .settings import SettingsError

_TELL_AGAIN_MS = const(60000)
_TELLS = const(10)  # in so long, at most


class ConfigSync:
    """`agent` is the Agent, `config` its config.Config."""

    def __init__(self, agent, config):
        self._agent = agent
        self._config = config
        self._clock = agent.clock
        self._settings = agent.settings
        # has the configuration in force been told to the cloud in this session, and what was told?
        self._confirmed = False
        self._last_told = None
        # uptime when the minute began in which it was told so often, and is it still to be told when that is over?
        self._told_at = 0
        self._tells = 0
        self._tell_later = False
        # has a configuration come while another one was applied or on trial?
        self._missed = False
        # uptime by which a configuration on trial must have reached the cloud
        self._trial_end = 0
        self._overlay()

    def poll(self):
        """Do what is due."""
        if self._config.on_trial():
            if self._clock.ms() >= self._trial_end:
                self._roll_back()
        elif self._tell_later:
            self.tell()

    def round_trip(self):
        """The cloud has acknowledged a message: what is on trial is kept."""
        config = self._config
        if config.on_trial():
            config.keep()
            log.info("config %d applied", config.version)
            config.belong(self._settings.credentials["id"])
            self.tell()
        if self._missed:
            self._missed = False
            self._agent.refresh()

    def on_config(self, version, values):
        """A configuration has come, perhaps an old one."""
        config = self._config
        if config.applying:
            self._missed = True
            return
        if config.on_trial() and version != config.version:
            self._missed = True
        if version <= config.version:
            self.on_config_taken(version, values)
            self.on_config_version(version)
            return
        try:
            trial, refusal = self._try_settings(values.get("settings", {}))
            answer = config.offer(version, values, refusal, trial)
        except Exception:
            # out of memory: no settings are left in force that nobody tries
            self._overlay()
            raise
        if answer is None:
            log.info("config %d waits for the trial of %d", version, config.version)
            return
        reason = answer[1]
        if trial and not config.on_trial():
            self._overlay()
        if reason:
            log.warning("config %d refused: %s", version, reason)
            self._agent.telemetry.notice("config %d refused: %s" % (version, reason))
        elif config.on_trial():
            if not trial:
                return
            log.info("config %d is on trial until the cloud is reached", version)
            self._trial_end = self._clock.ms() + self._settings.trial_timeout * 1000
            self._agent.link.restart()
            return
        else:
            log.info("config %d applied", version)
        # not again where apply has changed it, and that was told
        if self._last_told != (config.version, config.values):
            self.tell()

    def on_config_version(self, version):
        """The cloud has this version. Where that is the one in force, confirm it once a session: the last time may have been lost."""
        config = self._config
        if version != config.version or self._confirmed or config.on_trial():
            return
        if version or config.untold:
            self.tell()

    def on_config_untold(self):
        """What was told may not have arrived: telling failed for a reason that may pass, or the session has ended."""
        self._confirmed = False

    def on_config_taken(self, version, values):
        """The cloud has these values under this version."""
        config = self._config
        if not config.taken(version, values) or config.on_trial():
            return
        # a cloud that keeps to its own values is not contradicted without end
        if self._last_told != (config.version, config.values) or self._clock.ms() - self._told_at >= _TELL_AGAIN_MS:
            self.tell()

    def _try_settings(self, changes):
        # what the link depends on: (whether it changes, reason to refuse it)
        if self._config.on_trial():
            return False, None
        try:
            self._settings.overlay(changes)
        except SettingsError as error:
            return False, "settings: %s" % error
        return changes != self._config.values.get("settings", {}), None

    def _overlay(self):
        # the settings of the configuration in force; what cannot be used of them, as after a change of the firmware, is left out
        wanted = self._config.values.get("settings", {})
        usable = {}
        self._settings.overlay(usable)
        for key in wanted if isinstance(wanted, dict) else ():
            usable[key] = wanted[key]
            try:
                self._settings.overlay(usable)
            except SettingsError as error:
                log.warning("config %d: settings: %s", self._config.version, error)
                del usable[key]

    def _roll_back(self):
        text = "config %d rolled back: the cloud was not reached" % self._config.version
        log.warning(text)
        self._agent.telemetry.notice(text)
        try:
            self._config.roll_back()
        finally:
            self._overlay()
            self._agent.link.restart()

    def tell(self):
        """Tell the cloud the configuration in force. False while not connected."""
        # at most so often a minute: a cloud that answers each with another version would never end
        config = self._config
        now = self._clock.ms()
        if now - self._told_at >= _TELL_AGAIN_MS:
            self._tells = 0
        if self._tells >= _TELLS:
            self._tell_later = True
            return False
        if not self._tells:
            self._told_at = now
        self._tells += 1
        self._tell_later = False
        self._confirmed = True
        self._last_told = (config.version, config.values)
        told = self._agent.tell("send_config", config.version, config.values)
        if told:
            config.told()
        return told
