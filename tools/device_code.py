"""The firmware's own modules on this machine: what a tool has to know as a board knows it is asked there and not written twice."""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.paths import FIRMWARE, SHIM


@contextlib.contextmanager
def borrowed_imports(folders: list[Path]) -> Iterator[None]:
    """Put the folders first on sys.path; afterwards sys.path is as before and what was imported from them is forgotten."""
    path_before = sys.path[:]
    bytecode_before = sys.dont_write_bytecode
    roots = tuple(f"{folder}{os.sep}" for folder in folders)
    # a module of the same name from elsewhere, such as another folder's test_health, would be taken for ours
    ours = {entry.stem for folder in folders if folder.is_dir() for entry in folder.iterdir()}
    others = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ours}
    for name in others:
        del sys.modules[name]
    sys.path[:0] = map(str, folders)
    importlib.invalidate_caches()
    # the firmware collects often: without this, all that the process has would be looked through each time
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.path[:] = path_before
        sys.dont_write_bytecode = bytecode_before
        for name, module in list(sys.modules.items()):
            places = [getattr(module, "__file__", None) or "", *map(str, getattr(module, "__path__", ()))]
            if any(f"{place}{os.sep}".startswith(roots) for place in places):
                del sys.modules[name]
        sys.modules.update(others)


@contextlib.contextmanager
def firmware() -> Iterator[Callable[[str], Any]]:
    """A function that imports a module of firmware/redpoll by its name, such as "update.slots"; what it logs goes nowhere.

    ::

        with firmware() as load:
            slots = load("update.slots").Slots(folder)
    """
    with borrowed_imports([SHIM, FIRMWARE]):
        sys.dont_write_bytecode = True
        importlib.import_module("redpoll.log").print = lambda *_: None  # type: ignore[attr-defined]
        yield lambda name: importlib.import_module(f"redpoll.{name}")
