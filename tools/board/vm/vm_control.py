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
_buffer = bytearray(struct.calcsize(_PAGE))


def tell(message):
    """One line to the host."""
    _pipe.write(message + b"\n")


def ask(message):
    """One line to the host -> its answer, one line as text."""
    _pipe.write(message + b"\n")
    return _answers.readline().decode().rstrip("\n")


def page():
    """(Wi-Fi, mask of the pins that something outside drives, their levels, number of the last order to cut the power, at which write)."""
    _page.seek(0)
    _page.readinto(_buffer)
    return struct.unpack(_PAGE, _buffer)


def halt():
    """Nothing runs any more on this chip; the host ends the VM."""
    while True:
        time.sleep(60)
