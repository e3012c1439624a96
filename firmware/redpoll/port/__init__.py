# All that differs between interpreters and chips. Nothing else in the firmware asks which one it is on.
import sys

if sys.implementation.name != "micropython":
    from .cpython import *  # noqa: F403
else:
    import io
    from time import sleep_ms, ticks_add, ticks_diff, ticks_ms  # noqa: F401

    # what an object derives from so that select.poll can ask its ioctl
    Pollable = io.IOBase
    # extend(buffer, data): append bytes or the UTF-8 of a str to a bytearray, without a copy in between
    extend = bytearray.extend

    def sync(file):
        """Bring what was written to the flash; LittleFS does it for one file when it is flushed."""
        file.flush()

    def open_socket(family, kind, proto):
        """A socket with connect, setblocking, readinto(buf), write(buf, off, n), close; None from these two means "not now"."""
        import socket

        return socket.socket(family, kind, proto)

    def __getattr__(name):
        # what only some programs use is loaded when it is first asked for: what the chip has of its own, else what all have alike
        if name[0] != "_":
            for place in ("chip",) if sys.platform in ("linux", "darwin") else (sys.platform, "chip"):
                module = __import__(__name__ + "." + place, None, None, (name,))
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(name)


def unload(*names):
    """Forget modules of redpoll ("net.http") that are not needed for a while, to have their memory; the next import loads them again."""
    for name in names:
        name = "redpoll." + name
        if sys.modules.pop(name, None):
            package, _, leaf = name.rpartition(".")
            try:
                delattr(sys.modules[package], leaf)
            except (AttributeError, KeyError):
                pass  # not every port keeps it there too


def good():
    """This start went well: the timer that boot.py has set to end it is taken away."""
    main = __import__("__main__")
    try:
        main._boot = main._boot.deinit()
    except AttributeError:
        pass  # it has none
