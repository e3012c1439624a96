# Emptying a spool, on the MicroPython VM: what a cloud does that acknowledges each message at once.


def drain(spool):
    """Send and acknowledge every message."""
    while True:
        message = spool.peek()
        if message is None:
            return
        spool.sent(message[0])
        spool.acknowledge(message[0])
