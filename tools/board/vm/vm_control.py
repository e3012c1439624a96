# The virtual board's line to the host: what the host set for this start, and what it has to do for the chip.
import json
import os
import time

state = json.loads(os.getenv("REDPOLL_BOARD"))
_pipe = open("/dev/fd/%d" % state["control"], "wb")


def tell(message):
    """One line to the host."""
    _pipe.write(message + b"\n")


def halt():
    """Nothing runs any more on this chip; the host ends the VM."""
    while True:
        time.sleep(60)
