"""Starts of the firmware on the VM against a real hub, in a heap of a given size."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import IO, Any

from tools.bytecode import compile_firmware, compile_tree
from tools.hub.process import HubProcess
from tools.paths import BUILD, FIRMWARE, LIB, ROOT
from tools.size.machines import Machine
from tools.size.sets import FeatureSet
from tools.smallest import smallest

MESSAGES = 30  # acknowledged ones, until a start counts as one that runs
_PATIENCE = 40.0  # seconds for that
_LOG = BUILD / "size.log"
AMPLE = "4M"  # of heap: nothing runs out of it


class Starts:
    """Runs vm_side/size/size_start.py on a machine against a hub."""

    def __init__(self, machine: Machine, hub: HubProcess) -> None:
        self.machine = machine
        self._hub = hub
        built = BUILD / "size"
        sides = Path(__file__).parent.parent / "vm_side" / "size"
        compile_tree(sides, built / "size", sides.relative_to(ROOT).as_posix())
        folders = [built / "size"]
        if not machine.frozen:
            folders += [built / FIRMWARE.name, built / LIB.name]
            compile_firmware(FIRMWARE, built / FIRMWARE.name)
            compile_firmware(LIB, built / LIB.name)
        self._path = ":".join([*map(str, folders), ".frozen"])

    def begin(self, heap: str, module: str, call: str, log: IO[bytes], *more: Path, folder: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `call`, of a module in vm_side/size, with this heap; it finds what lies in `more` too, and prints into `log`."""
        return subprocess.Popen(
            [*self.machine.command, "-X", f"heapsize={heap}", "-c", f"import {module}; {call}"],
            cwd=folder,
            env={**os.environ, "MICROPYPATH": ":".join([*map(str, more), self._path])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def modules(self, names: tuple[str, ...]) -> dict[str, int]:
        """Bytes of heap that each module leaves when it is imported, each after those that it imports itself."""
        with _LOG.open("w+b") as log:
            if self.begin(AMPLE, "size_start", f"size_start.modules({names!r})", log).wait():
                raise RuntimeError(f"the modules cannot be imported: {_LOG.read_text(errors='replace')}")
            found: dict[str, int] = _last_line(log)
        return found

    def stages(self, features: FeatureSet) -> dict[str, Any]:
        """A first start with heap to spare -> {"stages": {stage: bytes of live heap}, "peak": the most of all turns of the loop,
        "modules": names that were loaded}.
        """
        with tempfile.TemporaryDirectory(prefix="size-") as name:
            said = self._start(features, Path(name), AMPLE)
        if said is None:
            raise RuntimeError(f"{features.name} does not run at all; build/size.log has what it printed")
        return said

    def smallest(self, features: FeatureSet, *, registered: bool) -> int:
        """KB of the smallest heap in which it runs: a first start, or with `registered` one with the credentials of an earlier one."""
        with tempfile.TemporaryDirectory(prefix="size-") as name:
            before = Path(name, "before")
            before.mkdir()
            said = self._start(features, before, AMPLE)
            if said is None:
                raise RuntimeError(f"{features.name} does not run at all; build/size.log has what it printed")
            if not registered:
                shutil.rmtree(before)
                before.mkdir()
            live = max(map(int, said["stages"].values())) // 1024

            def is_enough(heap: int) -> bool:
                folder = Path(name, "now")
                shutil.copytree(before, folder, symlinks=True)
                said = self._start(features, folder, f"{heap}K")
                shutil.rmtree(folder)
                return said is not None

            return smallest(live // 2, 2 * live, is_enough)

    def _start(self, features: FeatureSet, folder: Path, heap: str) -> dict[str, Any] | None:
        # what it said, or None when it failed or did not come to its end
        operator = self._hub.operator
        agent = folder / "redpoll"
        if not self.machine.frozen and not agent.exists():
            # where it is on a board: each module's path is in its memory, and those of this machine are long
            agent.symlink_to(BUILD / "size" / "firmware" / "redpoll")
        settings = folder / "settings.json"
        if not settings.exists():
            values = {"entry": self._hub.entry_url, "sn": uuid.uuid4().hex, "hardware_key": "size", "license_key": operator.license_key()}
            settings.write_text(json.dumps(values))
        serial = json.loads(settings.read_text())["sn"]
        with _LOG.open("w+b") as log:
            process = self.begin(heap, "size_start", f"size_start.run({features.wanted!r}, {MESSAGES})", log, folder=folder)
            try:
                deadline = time.monotonic() + _PATIENCE
                asked = False
                while process.poll() is None and time.monotonic() < deadline and not hopeless(_LOG):
                    if not asked and features.wanted:
                        device = next((device for device in operator.devices() if device["sn"] == serial), None)
                        if device is not None:
                            self.ask(features.wanted, device["id"])
                            asked = True
                    time.sleep(0.05)
            finally:
                process.kill()
                process.wait()
            if process.returncode:
                return None
            return _last_line(log) if heap == AMPLE else {}

    def ask(self, wanted: tuple[str, ...], device_id: str) -> None:
        """Have the operator give the device what is wanted: "config", "command", "license"."""
        operator = self._hub.operator
        if "config" in wanted:
            operator.configure(device_id, {"interval": 10, "label": uuid.uuid4().hex})
        if "command" in wanted:
            operator.command(device_id, "blink", {"times": 3})
        if "license" in wanted and not operator.licenses(device_id):
            operator.add_license(device_id, "size")


def hopeless(log: Path) -> bool:
    """True for a board that is out of memory again and again: it goes on for ever, more and more seldom."""
    return log.read_bytes().count(b"memory") >= 2


def _last_line(log: IO[bytes]) -> Any:
    # the JSON that a run ends with
    log.seek(0)
    return json.loads(log.read().splitlines()[-1])
