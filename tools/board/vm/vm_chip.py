# What a chip's `sys`, `os`, `vfs`, `time` and `socket` have, and the unix port's have otherwise. `install` puts them in the places of the
# builtin ones.
import io
import os
import select
import socket
import sys
import time
from collections import namedtuple

import network
import vfs
import vm_clock
import vm_tls
from vm_control import state

if state["port"] == "esp32":
    import esp32 as _own
else:
    import rp2 as _own

_native_stdout = sys.stdout
_native_poll = select.poll
_native_ticks = time.ticks_ms
_mark = state["mark"].encode()


class _Raw(io.IOBase):
    # sys.stdout.buffer: bytes that stay as they are, where text gets a CR before each LF
    def write(self, data, offset=None, size=None):
        if size is None:
            offset, size = 0, len(data) if offset is None else offset
        view = memoryview(data)[offset : offset + size]
        for at in range(0, len(view), 2048):
            piece = bytes(view[at : at + 2048])
            _native_stdout.write(_mark + b"R%04x" % len(piece) + piece)
        return size


class _Stdout(io.IOBase):
    buffer = _Raw()
    write = _native_stdout.write

    def flush(self):
        pass


class _Poll:
    # a select.poll during whose waits interrupts and timers are served, as during a sleep
    def __init__(self):
        core = sys.modules.get("asyncio.core")
        if core:
            # it makes one when it is imported; its tasks are queued in C by the machine's ticks, not by those since the chip's start
            core.ticks = _native_ticks
        self._poll = native = _native_poll()
        self.register, self.unregister, self.modify = native.register, native.unregister, native.modify

    def poll(self, timeout=-1):
        while vm_clock.watched and timeout != 0:
            vm_clock.look()
            events = self._poll.poll(vm_clock.STEP if timeout < 0 else min(timeout, vm_clock.STEP))
            if events:
                return events
            if timeout > 0:
                timeout = max(0, timeout - vm_clock.STEP)
        return self._poll.poll(timeout)

    def ipoll(self, timeout=-1, flags=0):
        return iter(self.poll(timeout)) if vm_clock.watched else self._poll.ipoll(timeout, flags)


class _Module:
    pass


def _like(module, without, **more):
    # a module that has what `module` has, some of it otherwise
    new = _Module()
    for name in dir(module):
        if name not in without and not name.startswith("__"):
            setattr(new, name, getattr(module, name))
    for name in more:
        setattr(new, name, more[name])
    sys.modules[module.__name__] = new
    return new


def _implementation():
    kind = namedtuple("implementation", ("name", "version", "_machine", "_mpy", "_build", "_thread"))
    old = sys.implementation
    return kind(old.name, old.version, state["machine"], old._mpy, state["build"], "GIL")


def _uname():
    kind = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))
    version = sys.version.rpartition("; ")[2]
    release = ".".join(str(n) for n in sys.implementation.version[:3])
    return kind(state["port"], state["port"], release, version, state["machine"])


def install(flash, host):
    """From now on the program sees the chip's modules."""
    board_os = _like(os, ("getenv", "putenv", "unsetenv", "system", "VfsPosix"), uname=_uname)
    board_os.sync = lambda: None
    board_os.dupterm = lambda stream, index=0: None
    _like(vfs, ("VfsPosix",))
    _like(select, (), poll=_Poll)
    _like(socket, (), getaddrinfo=network._getaddrinfo)
    _like(
        time,
        ("clock",),
        ticks_ms=vm_clock.ticks_ms,
        **{name: getattr(vm_clock, name) for name in ("time", "time_ns", "gmtime", "localtime", "mktime", "sleep", "sleep_ms")},
    )
    sys.modules["tls"] = vm_tls
    _own._start(flash, host)
    # last: everything above still looks at the builtin one
    _like(
        sys,
        ("getenv", "executable", "exc_info"),
        platform=state["port"],
        stdout=_Stdout(),
        implementation=_implementation(),
        version=sys.version,
    )
