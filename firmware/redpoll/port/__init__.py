# All that differs between interpreters and chips. Nothing else in the firmware asks which one it is on.
import sys

if sys.implementation.name != "micropython":
    from .cpython import *  # noqa: F403
elif sys.platform in ("linux", "darwin"):
    from .unix import *  # noqa: F403

    _MORE = ".unix_board"
elif sys.platform == "esp32":
    from .esp32 import *  # noqa: F403

    _MORE = ".esp32_board"
elif sys.platform == "rp2":
    from .rp2 import *  # noqa: F403

    _MORE = ".rp2_board"
else:
    raise ImportError("Redpoll has no port for %r" % sys.platform)


def unload(*names):
    """Forget modules that are not needed for a while, to have their memory; the next import loads them again."""
    for name in names:
        if sys.modules.pop(name, None):
            package, _, leaf = name.rpartition(".")
            try:
                delattr(sys.modules[package], leaf)
            except (AttributeError, KeyError):
                pass  # not every port keeps it there too


def __getattr__(name):
    # what only some programs use is loaded when it is first asked for
    if name[0] == "_" or "_MORE" not in globals():
        raise AttributeError(name)
    return getattr(__import__(__name__ + _MORE, None, None, (name,)), name)
