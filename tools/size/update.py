"""Updates over the air on the VM against a real hub: time, bytes fetched, heap; the board's flash is a real LittleFS in a file."""

import json
import random
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools import keys
from tools.board.firmware import vm_folder
from tools.bundle import archive
from tools.bundle.build import build
from tools.hub.process import HubProcess
from tools.paths import BUILD
from tools.size.start import AMPLE, Starts, hopeless
from tools.smallest import smallest

FLASH = 2 * 1024 * 1024  # bytes of the board's file system, as on an ESP32 with 4 MB
MESSAGES = 3  # acknowledged ones, until the board counts as idle
LOG = BUILD / "size.log"
_WANTED = ("config", "command")
_PATIENCE = 20.0  # seconds for a start and its update


@dataclass(frozen=True)
class Taken:
    """What one update took: bytes of live heap when idle and at most, bytes of bodies that had come then and in all, ms to the restart."""

    idle: int
    peak: int
    peak_at: int
    received: int
    ms: int


class Updates:
    """A product in version 1.0.0 and the bundle of its next one, of about `size` bytes, in which one small file differs.

    ::

        with Updates(starts, hub, 200_000) as updates:
            updates.take(fetch_all=False)
    """

    def __init__(self, starts: Starts, hub: HubProcess, size: int) -> None:
        self._starts = starts
        self._hub = hub
        self._temporary = tempfile.TemporaryDirectory(prefix="update-")
        self._folder = Path(self._temporary.name)
        key = self._folder / "key.pem"
        keys.make_private(key)
        self._public = keys.public_pem(keys.load_private(key))
        product = self._folder / "product"
        product.mkdir()
        (product / "main.py").write_text("from redpoll import Agent\n\nAgent().run()\n")
        (product / "notes.txt").write_text("1.0.0\n" * 200)
        agent_frozen = starts.machine.frozen
        missing = size - len(build(product, key, "1.0.0", frozen=agent_frozen))
        # what no compressor makes smaller, the same in every run; unless the firmware fills the bundle already
        for number in range(0, missing, 20_000):
            (product / f"asset_{number // 20_000}.bin").write_bytes(random.Random(number).randbytes(min(20_000, missing - number)))
        old = archive.read(build(product, key, "1.0.0", frozen=agent_frozen))
        self._old = {entry.name: old.content(entry.name) for entry in old.manifest.files}
        (product / "notes.txt").write_text("1.1.0\n" * 200)
        self.bundle = build(product, key, "1.1.0", frozen=agent_frozen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._temporary.cleanup()

    def take(self, *, fetch_all: bool, heap: str = AMPLE, look: bool = False) -> Taken | None:
        """One update; `fetch_all`: of a board that has none of its files yet. None when it did not come to its restart.

        With `look` its peak of live heap is found; its time means nothing then. build/size.log has what the board printed.
        """
        serial = uuid.uuid4().hex
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            flash = Path(name, "flash")
            self._fill(flash, serial, {} if fetch_all else self._old)
            call = f"size_update.run({str(flash)!r}, {FLASH}, {_WANTED!r}, {MESSAGES}, {look})"
            with LOG.open("w+b") as log:
                process = self._starts.begin(heap, "size_update", call, log, vm_folder())
                try:
                    self._direct(process, serial)
                finally:
                    process.kill()
                    process.wait()
            lines = LOG.read_text(errors="replace").splitlines()
        if process.returncode:
            return None
        said = json.loads(lines[-1])
        return Taken(**said) if said.pop("switched") else None

    def smallest(self, *, fetch_all: bool, peak: int) -> int:
        """KB of the smallest heap in which it comes to its restart; `peak` bytes were live at most."""
        return smallest(peak // 1024, 3 * peak // 1024, lambda heap: self.take(fetch_all=fetch_all, heap=f"{heap}K") is not None)

    def _fill(self, flash: Path, serial: str, files: dict[str, bytes]) -> None:
        # the board's file system: its settings, and the version that runs
        operator = self._hub.operator
        root = flash.with_name("root")
        settings = {"entry": self._hub.entry_url, "sn": serial, "hardware_key": "size", "license_key": operator.license_key()}
        files = files | {"settings.json": json.dumps(settings | {"update_key": self._public}).encode()}
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        flash.write_bytes(b"\xff" * FLASH)
        with LOG.open("w+b") as log:
            process = self._starts.begin(
                AMPLE, "size_update", f"size_update.prepare({str(flash)!r}, {FLASH}, {str(root)!r})", log, vm_folder()
            )
            if process.wait():
                raise RuntimeError(f"the file system cannot be made: {LOG.read_text(errors='replace')}")

    def _direct(self, process: subprocess.Popen[bytes], serial: str) -> None:
        # what the operator asks the board for, in time; until it restarts, fails or takes too long
        operator = self._hub.operator
        deadline = time.monotonic() + _PATIENCE
        device = ""
        asked: dict[str, Any] = {}
        while process.poll() is None and time.monotonic() < deadline and not hopeless(LOG):
            if not device:
                device = next((found["id"] for found in operator.devices() if found["sn"] == serial), "")
                if device:
                    self._starts.ask(_WANTED, device)
            elif not asked and b"\nidle\n" in LOG.read_bytes():
                file = operator.upload_file(self.bundle, "bundle.zip", version="1.1.0")
                asked = operator.command(device, "update_firmware", file_id=file["id"])
            elif asked and operator.get_command(device, asked["id"])["status"] in ("error", "failed"):
                return
            time.sleep(0.05)
