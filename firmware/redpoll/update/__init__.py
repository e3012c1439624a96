# Over-the-air updates. What is here is asked at every start; all else is loaded when there is an update to work on or to tell of, and
# unloaded when it is told.
import sys

from micropython import const

from .. import port
from ..flash.record import Record

_SAFE = const(10)  # boot.py knows this number too
_boot = "/boot.state"


def _load(path):
    stored = Record(path).load()
    return stored if isinstance(stored, dict) else {}


def good(safe):
    """This start went well: the loop has turned for a minute, or the cloud was reached. In safe mode the product gets one more try."""
    state = _load(_boot)
    boots = _SAFE - 1 if safe else 0
    if state and state.get("boots", 0) != boots and "trial" not in state:
        state["boots"] = boots
        Record(_boot).try_save(state)


def pending(path):
    """Does boot.py know of a slot on trial, running or not, or the updater's record in the file `path` of something to do or to tell?"""
    stored = _load(path)
    return _load(_boot).get("trial") or stored.get("job") or stored.get("finals")


def unload():
    """Give the memory back that only an update needs."""
    port.unload(*[name[8:] for name in sys.modules if name.startswith("redpoll.update.")])
