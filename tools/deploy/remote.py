"""The board at the other end of a connection: what it is, and its files."""

import base64
import contextlib
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tools.deploy.connection import Connection
from tools.deploy.errors import BoardRaised, DeployError, Status

T = TypeVar("T")
_FEED_SECONDS = 2.0
_CODE_BYTES = 1200  # of a list of names in one piece of code

# What is defined on the board once. The watchdog of the program that was ended cannot be stopped: it is fed here. It also makes that a
# board whose deployment breaks off starts again by itself.
_PRELUDE = textwrap.dedent("""
    import os,sys,gc
    from binascii import a2b_base64 as _b,hexlify as _h
    from hashlib import sha256 as _s
    try:
     import machine
     _w=machine.WDT(timeout=8388).feed
    except Exception:
     _w=lambda:None
    def _t(d):
     try:e=list(os.ilistdir(d))
     except OSError:return
     for e in e:
      p=d+'/'+e[0]
      if e[1]&0x4000:_t(p)
      else:print(os.stat(p)[6],p)
    def _k(d):
     return sum([1+_k(d+'/'+e[0]) for e in os.ilistdir(d or '/') if e[1]&0x4000 and len(e)>3])
    def _p(p):
     _w()
     with open(p,'rb') as f:
      c=f.read(1024)
      while c:
       yield c
       c=f.read(1024)
    def _d(p):
     h=_s()
     for c in _p(p):h.update(c)
     print(_h(h.digest()).decode())
    def _o(p):
     global _f
     i=p.find('/',1)
     while i>0:
      try:os.mkdir(p[:i])
      except OSError as e:
       if e.errno!=17:raise
      i=p.find('/',i+1)
     _f=open(p,'wb')
    def _a(c):
     _w()
     _f.write(_b(c))
    def _c(s,t):
     _o(t)
     for c in _p(s):_f.write(c)
     _f.close()
    def _r(p):
     _w()
     try:os.remove(p)
     except OSError as e:
      if e.errno!=2:raise
    def _e(d):
     try:n=list(os.ilistdir(d))
     except OSError:return
     for e in n:
      if e[1]&0x4000:_e(d+'/'+e[0])
     if not list(os.ilistdir(d)):os.rmdir(d)
""").strip()

# What was ended still holds the heap of a small board. Its modules are loaded again by the restart, which comes in any case; boot.py's
# timers must not bring it earlier.
_LET_GO = textwrap.dedent("""
    import gc,sys
    for _n in list(sys.modules):
     if _n.split('.')[0]=='redpoll':del sys.modules[_n]
    for _n in dir():
     if _n[0]!='_':globals().pop(_n)
     elif _n in('_boot','_trial'):
      try:globals()[_n].deinit()
      except AttributeError:pass
    __import__('gc').collect()
""").strip()


@dataclass(frozen=True)
class About:
    """What a board says of itself. `mpy` is the version of the bytecode that it runs, 0: none; the rest in bytes."""

    platform: str
    version: tuple[int, int, int]
    mpy: int
    machine: str
    heap_free: int
    block: int
    flash_free: int

    @property
    def chip(self) -> str:
        """Such as "esp32s3": the end of MicroPython's own line, "... with ESP32S3"; "unix" for MicroPython on a computer."""
        if self.platform in ("linux", "darwin"):
            return "unix"
        return chip_of(self.machine)


def chip_of(machine: str) -> str:
    """The chip that is named at the end of what MicroPython says of its board."""
    return machine.rpartition(" with ")[2].lower()


class RemoteBoard:
    """Its REPL is ours from begin() until restart(). All paths are absolute."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def begin(self, fresh: bool = True) -> None:
        """End its program, with a soft reset when `fresh` or when what it left on the heap is too much to work beside. Raises LinkError."""
        self.connection.enter(fresh)
        try:
            if not fresh:
                self.connection.run(_LET_GO)
            self.connection.run(_PRELUDE)
        except BoardRaised as error:
            if fresh or "MemoryError" not in error.trace:
                raise
            self.begin()

    def about(self) -> About:
        """Raises LinkError."""
        self.connection.run("gc.collect()")
        told = self.connection.ask(
            "(sys.platform,tuple(sys.implementation.version[:3]),getattr(sys.implementation,'_mpy',0)&255,"
            "getattr(sys.implementation,'_machine',''),gc.mem_free(),os.statvfs('/'),_k(''))"
        )
        platform, version, mpy, machine, heap_free, state, folders = told
        return About(platform, version, mpy, machine, heap_free, state[1], state[1] * _free_blocks(state[2], state[4], folders))

    def while_fed(self, work: Callable[[], T]) -> T:
        """Do what takes long on this machine, and feed the board's watchdog meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            while True:
                try:
                    return future.result(_FEED_SECONDS)
                except TimeoutError:
                    if future.done():
                        raise
                    self.connection.run("_w()")

    def running(self) -> str:
        """The slot whose code ran: "a", "b", or "" for the root."""
        path = self.connection.ask("sys.path")
        return next((folder[-1] for folder in path if folder in ("/slot_a", "/slot_b")), "")

    def files(self, folders: Iterable[str]) -> dict[str, int]:
        """Every file below these folders with its size; a folder that is missing has none."""
        found = {}
        for folder in folders:
            for line in self.connection.run(f"_t({folder!r})").splitlines():
                size, _, path = line.partition(" ")
                found[path] = int(size)
        return found

    def hashes(self, paths: Iterable[str], done: Callable[[int], None] = lambda _: None) -> dict[str, str]:
        """SHA-256 (hex) of each file; `done` gets how many more have been read. Raises BoardRaised for one that is missing."""
        found: dict[str, str] = {}
        for part in _parts(paths):
            said = self.connection.run(f"for p in {part!r}:_d(p)").split()
            if len(said) != len(part):
                raise DeployError(f"{self.connection.port}: an answer came damaged; do it again", Status.CUT)
            found.update(zip(part, said, strict=True))
            done(len(part))
        return found

    def digest(self, path: str) -> str | None:
        """SHA-256 (hex) of a file; None when there is none."""
        return self.hashes([path])[path] if self.exists(path) else None

    def read(self, path: str) -> bytes | None:
        """A small file's content; None when there is none."""
        code = f"try:\n with open({path!r},'rb') as f:print(_h(f.read()).decode())\nexcept OSError as e:\n if e.errno!=2:raise\n print('-')"
        said = self.connection.run(code).strip()
        return None if said == "-" else bytes.fromhex(said)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self.connection.run(f"try:os.stat({path!r});print(1)\nexcept OSError:print(0)").strip() == "1"

    def write(self, path: str, data: bytes, done: Callable[[int], None] = lambda _: None) -> None:
        """Write a file, with its folders; `done` gets how many more bytes are there. Raises DeployError when the flash is full."""
        code = f"_o({path!r})"
        for at in range(0, max(1, len(data)), self.connection.piece):
            piece = data[at : at + self.connection.piece]
            code += f"\n_a('{base64.b64encode(piece).decode()}')"
            if at + len(piece) == len(data):
                code += "\n_f.close()"
            self.on_flash(code, path)
            done(len(piece))
            code = ""

    def replace(self, path: str, data: bytes) -> None:
        """Write a file in one step: a power cut or a full flash (DeployError) leaves the old one, or the new one is there."""
        with self.withdrawn_when_full([f"{path}.new"]):
            self.write(f"{path}.new", data)
            self.on_flash(f"os.rename({path + '.new'!r},{path!r})", path)

    @contextlib.contextmanager
    def withdrawn_when_full(self, paths: Iterable[str]) -> Iterator[None]:
        """These files are removed when the flash becomes full on the way, so that the board's program has the room that it had."""
        try:
            yield
        except DeployError as error:
            if error.status is Status.FULL:
                self.connection.run("try:_f.close()\nexcept OSError:pass")
                self.remove(paths)
            raise

    def copy(self, source: str, target: str) -> None:
        """Copy a file on the board."""
        self.on_flash(f"_c({source!r},{target!r})", target)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; what is not there is no error."""
        for part in _parts(paths):
            self.on_flash(f"for p in {part!r}:_r(p)", part[0])

    def prune(self, folder: str) -> None:
        """Remove empty folders, this one included."""
        self.on_flash(f"_e({folder!r})", folder)

    def restart(self) -> None:
        """It starts as after power-on, with its program."""
        self.connection.reset()

    def on_flash(self, code: str, path: str) -> None:
        """Run code that writes to this file. Raises DeployError when the flash is full."""
        try:
            self.connection.run(code)
        except BoardRaised as error:
            raise explained(error, path) from None


def _free_blocks(blocks: int, free: int, folders: int) -> int:
    """As firmware/redpoll/flash/room.py: LittleFS counts the two blocks of a folder twice, and says so little or less than nothing."""
    return max(0, (free - (1 << 32) if free > blocks else free) + 2 * folders)


def explained(error: BoardRaised, path: str) -> DeployError:
    """A board's exception at a file as what to do about it."""
    if re.search(r"ENOSPC|OSError: (\[Errno )?28\b", error.trace):
        return DeployError(
            f"the board's flash was full at {path}; it goes on with what it ran. Remove files of yours from it (`mpremote fs ls`, "
            "`mpremote fs rm`), or make the product smaller",
            Status.FULL,
        )
    if "MemoryError" in error.trace:
        return DeployError(f"the board ran out of memory at {path}: press its reset button and do it again, or take --via ampy")
    return DeployError(f"{path}: {error}")


def _parts(paths: Iterable[str]) -> Iterable[list[str]]:
    part: list[str] = []
    for path in paths:
        if part and sum(map(len, part)) + len(path) > _CODE_BYTES:
            yield part
            part = []
        part.append(path)
    if part:
        yield part
