# Deep sleep between messages, for a board on a battery (settings.sleep).
from micropython import const

from . import log, port

# after the last acknowledgement, for what the cloud has to say
_LISTEN_MS = const(2000)
# a start in which nobody can be reached ends too
_AWAKE_MS = const(60000)


class Battery:
    """Puts the board to sleep for `seconds` when all is told: every start reads all sensors, sends, listens for a moment."""

    def __init__(self, seconds, clock, spool, link, feed):
        self._seconds = seconds
        self._clock = clock
        self._spool = spool
        self._link = link
        self._feed = feed

    def poll(self, busy, tell):
        """Sleep when there is nothing to stay awake for; does not return then.

        `busy`: something is under way. `tell`: something is to be told, if need be after the next start.
        """
        link = self._link
        alive = link.alive_at
        adapter = link.adapter
        now = self._clock.ms()
        if (
            busy
            or now < _AWAKE_MS
            and (tell or not adapter or alive is None or len(self._spool) or now - alive < _LISTEN_MS or not adapter.ready())
        ):
            return
        log.info("sleeping for %d s", self._seconds)
        link.close()
        if link.radio:
            link.radio.off()
        # what nobody has acknowledged is sent after the next start
        self._spool.flush()
        port.deep_sleep(self._seconds * 1000, self._feed)
