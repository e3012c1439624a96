# Over-the-air updates. What is here is asked at every start; all else is loaded when there is an update to work on or to tell of, and
# unloaded when it is told.
import gc
import sys

from micropython import const

from .. import port
from ..flash.record import Record

_SAFE = const(10)  # boot.py knows this number too


_boot = Record("/boot.state")


def _state():
    state = _boot.load()
    return state if isinstance(state, dict) else {}


def on_trial():
    """True when boot.py knows of a slot on trial, whether or not it is the one that runs."""
    return bool(_state().get("trial"))


def good(safe):
    """This start went well: the loop has turned for a minute, or the cloud was reached. In safe mode the product gets one more try."""
    state = _state()
    boots = _SAFE - 1 if safe else 0
    if state.get("boots", 0) != boots and "trial" not in state and state:
        state["boots"] = boots
        _boot.try_save(state)


def pending(path):
    """True when the updater's record in the file `path` holds something to do or to tell."""
    stored = Record(path).load()
    return isinstance(stored, dict) and bool(stored.get("job") or stored.get("finals"))


def unload():
    """Give the memory back that only an update needs."""
    port.unload(*[name[8:] for name in sys.modules if name.startswith("redpoll.update.")])
    gc.collect()
