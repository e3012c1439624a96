# Deep sleep between messages, for a board on a battery (settings.sleep).
from micropython import const

from . import log, port

# after the last acknowledgement or answer, which takes its way also when it comes late, and for what the cloud has to say
_LISTEN_MS = const(2000)
# a start in which nobody can be reached ends too
_AWAKE_MS = const(60000)


class Battery:
    """Puts the board to sleep for `settings.sleep` when all is told: every start reads all sensors, sends, listens for a moment."""

    def __init__(self, agent):
        self._agent = agent
        # uptime when something was under way last
        self._since = 0

    def poll(self, busy, tell):
        """Sleep when there is nothing to stay awake for; does not return then.

        `busy`: something is under way. `tell`: something is to be told, if need be after the next start.
        """
        agent = self._agent
        link = agent.link
        alive = link.alive_at
        adapter = link.adapter
        now = agent.clock.ms()
        if busy:
            self._since = now
        if now - self._since < _LISTEN_MS or (
            now < _AWAKE_MS
            and (tell or not adapter or alive is None or len(agent.spool) or now - alive < _LISTEN_MS or not adapter.ready())
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
