# All that differs between interpreters and chips. Nothing else in the firmware asks which one it is on.
import sys

if sys.implementation.name != "micropython":
    from .cpython import *  # noqa: F403
elif sys.platform in ("linux", "darwin"):
    from .unix import *  # noqa: F403

    _MORE = ".unix_board"
else:
    raise ImportError("Redpoll has no port for %r" % sys.platform)


def __getattr__(name):
    # what only some programs use is loaded when it is first asked for
    if name[0] == "_" or "_MORE" not in globals():
        raise AttributeError(name)
    return getattr(__import__(__name__ + _MORE, None, None, (name,)), name)
