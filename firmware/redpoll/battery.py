# Deep sleep between messages, for a board on a battery (settings.sleep).
from micropython import const

from . import log, port

# that it listens to the cloud, and stays awake after its own last answer, so that it leaves the board however late it was given
_LISTEN_MS = const(2000)
# a start in which nobody can be reached ends too
_AWAKE_MS = const(60000)


class Battery:
    """Puts the board to sleep for `settings.sleep` when all is told: every start reads all sensors, sends, listens for a moment."""

    def __init__(self, agent):
        self._agent = agent
        # did the cloud acknowledge something in this session?
        self._heard = False
        # uptime when it first did, or something was under way last: a sensor that is read each second does not count
        self._since = 0

    def poll(self, busy, tell):
        """Sleep when there is nothing to stay awake for; does not return then.

        `busy`: something is under way. `tell`: something is to be told, if need be after the next start.
        """
        agent = self._agent
        link = agent.link
        adapter = link.adapter
        heard = link.alive_at is not None
        now = agent.clock.ms()
        if busy or heard and not self._heard:
            self._since = now
        self._heard = heard
        if now - self._since < _LISTEN_MS or (
            now < _AWAKE_MS and (tell or not adapter or not heard or len(agent.spool) or not adapter.ready())
        ):
            return
        seconds = agent.settings.sleep
        log.info("sleeping for %d s", seconds)
        link.close()
        if link.radio:
            link.radio.off()
        # what nobody has acknowledged is sent after the next start
        agent.spool.flush()
        port.deep_sleep(seconds * 1000, agent.feed)
