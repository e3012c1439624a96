# The virtual board's lines to the host: what the host set for this start, what the chip needs of it, and the levels around the chip.
import json
import os
import struct
import time

state = json.loads(os.getenv("REDPOLL_BOARD"))
_pipe = open("/dev/fd/%d" % state["control"], "wb")
_answers = open("/dev/fd/%d" % state["answers"], "rb")
# the page: a file that the host writes at any time (tools/board/page.py has its layout)
_page = open(state["page"], "rb") if state["page"] else None
_PAGE = "<BQQBI"
_ORDER = struct.calcsize("<BQQ")
_buffer = bytearray(struct.calcsize(_PAGE))


def tell(message):
    """One line to the host."""
    # in two, because a heap that is locked has no room for their sum
    _pipe.write(message)
    _pipe.write(b"\n")


def ask(message):
    """One line to the host -> its answer, one line as text."""
    tell(message)
    return _answers.readline().decode().rstrip("\n")


def page():
    """(Wi-Fi, mask of the pins that something outside drives, their levels, number of the last order to cut the power, at which write)."""
    _page.seek(0)
    _page.readinto(_buffer)
    return struct.unpack(_PAGE, _buffer)


def order():
    """Look at the page -> number of the last order to cut the power; order_at() then gives at which write. Neither needs any heap."""
    _page.seek(0)
    _page.readinto(_buffer)
    return _buffer[_ORDER]


def order_at():
    """At which write, of the order() that was looked at."""
    at = 0
    for i in range(len(_buffer) - 1, _ORDER, -1):
        at = at << 8 | _buffer[i]
    return at


def halt():
    """Nothing runs any more on this chip; the host ends the VM."""
    while True:
        time.sleep(60)
