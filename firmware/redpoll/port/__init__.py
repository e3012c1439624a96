# All that differs between interpreters and chips. Nothing else in the firmware asks which one it is on.
import sys

if sys.implementation.name != "micropython":
    from .cpython import *  # noqa: F403
elif sys.platform in ("linux", "darwin"):
    from .unix import *  # noqa: F403
else:
    raise ImportError("Redpoll has no port for %r" % sys.platform)
