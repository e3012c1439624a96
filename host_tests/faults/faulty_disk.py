"""CPython's file system with a power switch: stands in for `open` and `os` in the modules under test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class PowerCut(BaseException):
    """The power is gone. Not an Exception: nothing in the firmware survives it."""


class Disk:
    """Real files below the working directory; each create, write, remove, rename and mkdir is one change.

    With `cut_at` = n the n-th change (the first is 1) and all that follow raise PowerCut. What was not synchronised is gone then
    or, with `torn`, it is there and so is half of the n-th write. A rename is atomic and a created file is empty at once, which is
    more than LittleFS does to a file that is opened for writing.
    """

    def __init__(self, cut_at: int = 0, torn: bool = False) -> None:
        self.cut_at = cut_at
        self.torn = torn
        self.changes = 0
        self.listdir = os.listdir
        self.urandom = os.urandom
        self.statvfs = os.statvfs

    def change(self) -> None:
        """One change is about to happen."""
        if self.cut_at and self.changes >= self.cut_at:
            raise PowerCut
        self.changes += 1
        if self.changes == self.cut_at:
            raise PowerCut

    def open(self, path: str, mode: str) -> Any:
        if mode == "rb":
            return open(path, mode)
        if mode == "wb" or not os.path.exists(path):
            self.change()
            open(path, "wb").close()
        return _File(self, path)

    def remove(self, path: str) -> None:
        self.change()
        os.remove(path)

    def rename(self, old: str, new: str) -> None:
        self.change()
        os.replace(old, new)

    def mkdir(self, path: str) -> None:
        self.change()
        os.mkdir(path)

    def sync(self, file: "_File") -> None:
        """Stands in for port.sync."""
        file.sync()


class _File:
    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._waiting = b""

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        if kind is None:
            self.sync()

    def write(self, data: bytes) -> int:
        try:
            self._disk.change()
        except PowerCut:
            if self._disk.torn and self._disk.changes == self._disk.cut_at:
                self._waiting += data[: len(data) // 2]
                self._land()
            raise
        self._waiting += data
        return len(data)

    def sync(self) -> None:
        if not self._waiting:
            return
        try:
            self._disk.change()
        except PowerCut:
            if self._disk.torn:
                self._land()
            raise
        self._land()

    def _land(self) -> None:
        with open(self._path, "ab") as file:
            file.write(self._waiting)
        self._waiting = b""


@contextmanager
def on_disk(disk: Disk, modules: list[ModuleType], port: ModuleType) -> Iterator[None]:
    """Within the block these modules see the disk instead of the real file system."""
    before = [(module, module.__dict__.get("os")) for module in modules]
    sync = port.sync  # type: ignore[attr-defined]
    for module in modules:
        module.open = disk.open  # type: ignore[attr-defined]
        module.os = disk  # type: ignore[attr-defined]
    port.sync = disk.sync  # type: ignore[attr-defined]
    try:
        yield
    finally:
        port.sync = sync  # type: ignore[attr-defined]
        for module, real in before:
            del module.open  # type: ignore[attr-defined]
            module.os = real  # type: ignore[attr-defined]
